"""How far a model's suggestions and teachers' decisions agree, in whole numbers (B17)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shared.learning.facts import Fact

MILLION = 1_000_000


class Agreement(Fact):
    """
    ``count`` pairs, of which ``exact`` are equal; ``kappaMillionths`` is quadratic weighted kappa.

    1,000,000 is perfect agreement, 0 what chance would give; null where it is not defined
    (no pair, or no chance of disagreement).
    """

    count: Annotated[int, Field(ge=0)]
    exact: Annotated[int, Field(ge=0)]
    exact_per_mille: int | None
    kappa_millionths: int | None


@dataclass(frozen=True, slots=True)
class Decided:
    """Points by criterion, as suggested and as decided."""

    suggested: Mapping[str, int]
    decided: Mapping[str, int]


def agreement(pairs: Iterable[tuple[int, int]]) -> Agreement:
    """
    Agreement of *pairs* of whole points (suggested, decided).

    With weights (i - j)², kappa = 1 - N·Σ(a-b)² / Σᵢⱼ rᵢ cⱼ (i-j)², where the second sum is
    N·Σa² - 2·Σa·Σb + N·Σb²: exact integers up to the one division, rounded down.

    Source: Cohen, "Weighted kappa", Psychological Bulletin 70 (1968).
    """
    count = exact = apart = first = second = squares = 0
    for a, b in pairs:
        count += 1
        exact += a == b
        apart += (a - b) ** 2
        first += a
        second += b
        squares += a * a + b * b
    by_chance = count * squares - 2 * first * second
    return Agreement(
        count=count,
        exact=exact,
        exact_per_mille=exact * 1000 // count if count else None,
        kappa_millionths=MILLION - -(-count * apart * MILLION // by_chance) if by_chance else None,
    )


def by_criterion(decisions: Iterable[Decided]) -> dict[str, Agreement]:
    """Agreement on each criterion that was both suggested and decided."""
    pairs: dict[str, list[tuple[int, int]]] = {}
    for each in decisions:
        for criterion, points in each.suggested.items():
            if criterion in each.decided:
                pairs.setdefault(criterion, []).append((points, each.decided[criterion]))
    return {criterion: agreement(found) for criterion, found in sorted(pairs.items())}

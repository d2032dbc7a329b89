"""What a batch came to, and what that cost. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.budgets.base import Charge
from shared.budgets.prices import PriceTable, Usage
from shared.errors import NotAllowed
from shared.gateway.batches import Line
from shared.gateway.reading import usage_in


@dataclass(frozen=True, slots=True)
class Replies:
    """
    What a batch came to, by the names of its requests.

    Those of *not_asked* were refused or never sent; of what is in neither map nobody knows.
    """

    answered: Mapping[str, Sequence[bytes]]
    not_asked: frozenset[str] = frozenset()
    used: Usage | None = None
    """What the provider says that all of it used, if it says so."""

    @classmethod
    def of(cls, lines: Sequence[Line], used: Usage | None = None) -> "Replies":
        """From the lines of its files, whatever their order; one name may have several."""
        answered: dict[str, list[bytes]] = {}
        for line in lines:
            if line.answered:
                answered.setdefault(line.name, []).append(line.body)
        return cls(answered, frozenset(each.name for each in lines) - answered.keys(), used)


def cost(replies: Replies, charge: Charge, name: str, prices: PriceTable) -> tuple[int, Usage | None]:
    """
    What a request of a batch cost, in nano-dollars, and what it used; no usage: nobody was asked.

    What nobody knows counts as it was charged, at its worst. What came twice was billed twice.
    """
    if name in replies.not_asked:
        return 0, None
    bodies = replies.answered.get(name, ())
    if not bodies:
        return charge.nanos, Usage()
    nanos, used = 0, Usage()
    for body in bodies:
        usage = usage_in(body)
        used = used.plus(usage or Usage())
        nanos += charge.nanos if usage is None else _price(prices, charge, usage)
    return nanos, used


def costs(
    replies: Replies, charges: Mapping[str, Charge], prices: PriceTable
) -> dict[str, tuple[int, Usage | None]]:
    """
    What each of the requests of a batch that were charged cost, by their names.

    If the provider says that the batch used more than its replies tell, for instance because it bills what
    it could not answer, all of them bear that.
    """
    found = {name: cost(replies, charge, name, prices) for name, charge in charges.items()}
    more = _untold(replies, charges, prices) - sum(nanos for nanos, _ in found.values())
    if more <= 0 or not found:
        return found
    share = -(-more // len(found))
    return {name: (nanos + share, usage or Usage()) for name, (nanos, usage) in found.items()}


def _untold(replies: Replies, charges: Mapping[str, Charge], prices: PriceTable) -> int:
    """What the provider says that a batch cost, but for requests whose charges are gone."""
    one = next(iter(charges.values()), None)
    if replies.used is None or one is None:
        return 0
    gone = (body for name, bodies in replies.answered.items() if name not in charges for body in bodies)
    try:
        told = prices.in_batch(prices.actual(one.model, replies.used))
        return told - sum(
            prices.in_batch(prices.actual(one.model, usage_in(body) or Usage())) for body in gone
        )
    except NotAllowed:
        return 0


def _price(prices: PriceTable, charge: Charge, usage: Usage) -> int:
    try:
        return prices.in_batch(prices.actual(charge.model, usage))
    except NotAllowed:  # the model has no price any more
        return charge.nanos

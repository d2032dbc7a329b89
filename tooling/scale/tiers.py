"""What to set for how many learners, chosen by the model: ``python -m tooling.scale`` shows its results."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """
    How functions are deployed for up to *learners*: ``make generate TIER=name`` writes it to functions.yaml.

    Shards split by themselves and merges pace themselves, so that no tier sets their number or interval.
    ``min_instances`` is for the functions on an answer's way, ``max_instances`` for all.
    """

    name: str
    learners: int
    sweep_minutes: int
    memory_mib: int
    min_instances: int
    max_instances: int


TIERS = (
    Tier(
        name="small",
        learners=1_000,
        sweep_minutes=5,
        memory_mib=512,
        min_instances=0,
        max_instances=20,
    ),
    Tier(
        name="medium",
        learners=10_000,
        sweep_minutes=2,
        memory_mib=512,
        min_instances=1,
        max_instances=100,
    ),
    Tier(
        name="large",
        learners=1_000_000,
        sweep_minutes=2,
        memory_mib=1024,
        min_instances=2,
        max_instances=1000,
    ),
)


def tier_for(learners: int) -> Tier:
    """The smallest tier that holds so many; the largest holds all."""
    return next((tier for tier in TIERS if learners <= tier.learners), TIERS[-1])


def tier_named(name: str) -> Tier:
    """
    The tier of that *name*.

    Raises:
        ValueError: there is none.
    """
    for tier in TIERS:
        if tier.name == name:
            return tier
    message = f"no tier is called {name!r}; there are {', '.join(tier.name for tier in TIERS)}"
    raise ValueError(message)

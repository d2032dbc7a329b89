"""What to set for how many learners, chosen by the model: ``python -m tooling.scale`` shows its results."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Tier:
    """
    Settings for up to *learners*.

    ``gather_milliseconds`` and ``gather_events`` are the variables LECTERN_GATHER_MILLISECONDS and
    LECTERN_GATHER_EVENTS; shards split by themselves, so that no tier sets their number.
    """

    name: str
    learners: int
    gather_milliseconds: int
    gather_events: int
    rollup_seconds: float
    sweep_minutes: int
    memory_mib: int
    min_instances: int
    max_instances: int


TIERS = (
    Tier(
        name="small",
        learners=1_000,
        gather_milliseconds=500,
        gather_events=500,
        rollup_seconds=1.0,
        sweep_minutes=5,
        memory_mib=512,
        min_instances=0,
        max_instances=20,
    ),
    Tier(
        name="medium",
        learners=10_000,
        gather_milliseconds=1000,
        gather_events=500,
        rollup_seconds=1.0,
        sweep_minutes=2,
        memory_mib=512,
        min_instances=1,
        max_instances=100,
    ),
    Tier(
        name="large",
        learners=1_000_000,
        gather_milliseconds=1000,
        gather_events=500,
        rollup_seconds=1.0,
        sweep_minutes=2,
        memory_mib=1024,
        min_instances=2,
        max_instances=1000,
    ),
)


def tier_for(learners: int) -> Tier:
    """The smallest tier that holds so many; the largest holds all."""
    return next((tier for tier in TIERS if learners <= tier.learners), TIERS[-1])

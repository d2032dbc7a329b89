"""Prints what the model says, as Markdown tables: ``python -m tooling.scale``."""

from tooling.scale.capacity import Worker, requests_per_minute, workers_needed
from tooling.scale.model import Design, Load, Plan, Settings, hot_assignment, plan, simulate, warm_up_seconds
from tooling.scale.prices import DATE, US_MULTI_REGION, kept_instance

LEARNERS = (100, 1_000, 10_000, 100_000, 1_000_000)
EXAM = Load(students=100_000, warm_operations_per_second=500.0)
LONG_EXAM = Load(students=100_000, answers_each=20, warm_operations_per_second=9_000.0)

_HEADER = (
    "| load | answers/s | shards | merge every | roll-up every | hottest document | p95 visible "
    "| operations an answer | failed | $ per 1,000 |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(name: str, found: Plan) -> str:
    """A line of the table."""
    load, settings, outcome = found.load, found.settings, found.outcome
    operations = (outcome.reads + outcome.writes + outcome.deletes) / max(1, outcome.answers)
    every = load.seconds / max(1, outcome.rollups)
    return (
        f"| {name} | {load.answers / load.seconds:,.1f} | {settings.shards} | {settings.merge_seconds:g} s "
        f"| {every:,.1f} s | {outcome.hottest_document:.2f}/s | {outcome.p95_freshness():,.1f} s "
        f"| {operations:.2f} | {outcome.failed_share:.1%} "
        f"| {outcome.dollars_per_1000(seconds=load.seconds):.4f} |"
    )


def naive_row(name: str, found: Plan) -> str:
    """How the two naive designs fare, and this one."""
    shares = []
    load = found.load
    designs: tuple[Design, ...] = ("transaction", "counters")
    for design in designs:
        outcome = simulate(load, design, Settings(shards=10))
        shares.append(f"{outcome.failed_share:.1%}")
    return (
        f"| {name} | {load.answers / load.seconds:,.1f} | {shares[0]} | {shares[1]} "
        f"| {found.outcome.failed_share:.1%} |"
    )


def main() -> None:
    """Print everything."""
    loads = {f"{learners:,} learners, a tenth at work": hot_assignment(learners) for learners in LEARNERS}
    loads["100,000 students, one answer each"] = EXAM
    loads["100,000 students, twenty each"] = LONG_EXAM
    print(f"Prices of {DATE}. One assignment, ten minutes.\n\n{_HEADER}")
    plans = {name: plan(load) for name, load in loads.items()}
    for name, found in plans.items():
        print(row(name, found))
    print("\nAnswers that fail:\n\n| load | answers/s | transaction | ten counters | Lectern |")
    print("|---|---|---|---|---|")
    for name, found in plans.items():
        print(naive_row(name, found))
    minutes = warm_up_seconds(2 * LONG_EXAM.answers / LONG_EXAM.seconds) / 60
    print(f"\nA cold collection must ramp up for {minutes:g} minutes before the last of these.")
    print(f"A kept instance costs ${kept_instance(US_MULTI_REGION):.2f} a month.")
    per_minute = requests_per_minute(100_000, at_once=0.1, every_minutes=5)
    workers = workers_needed(per_minute, Worker(at_once=3, minutes=1), hit_rate=0.8)
    print(f"{per_minute:,.0f} lessons a minute, 80 % from the cache: {workers} workers of 3 a minute.")


if __name__ == "__main__":
    main()

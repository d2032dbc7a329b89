"""Rate limits that four processes share on Firestore: round trips to the store, and points over the limit."""

import asyncio

from shared.limits.leases import LeaseLimiter
from tests.bench import material
from tests.bench.report import Report
from tests.limiting import Asking
from tests.limits_contract import ai

_PROCESSES = 4
_POINTS = 3000
_WINDOW_SECONDS = 20
_RATE = 250


async def measure(emulators: dict[str, str], report: Report, *, quick: bool) -> None:
    """Fill *report*."""
    project = material.project()
    store = material.documents(emulators, project)
    limiter = LeaseLimiter(store, lambda: 0.0)
    await limiter.take([ai("uid:first")])  # the emulator's first commit may take seconds
    await limiter.close()
    await store.close()
    asking = Asking(
        "firestore",
        emulators["FIRESTORE_EMULATOR_HOST"],
        project,
        key="everybody",
        points=_POINTS,
        seconds=_WINDOW_SECONDS,
        rate=_RATE,
    )
    seconds = _WINDOW_SECONDS // 2 if quick else 3 * _WINDOW_SECONDS
    found = await asyncio.to_thread(asking.run, _PROCESSES, lasts=seconds)
    trips = found.trips / max(found.checks, 1)
    over = max(found.most_within(_WINDOW_SECONDS) - _POINTS, 0)
    windows = -(-seconds // _WINDOW_SECONDS)
    used = len(found.allowed) / (_POINTS * windows)
    report.row(
        f"{_PROCESSES} processes, {_POINTS:,} points in {_WINDOW_SECONDS} s",
        f"{found.checks / seconds:,.0f} checks/s, {trips:.3f} round trips a check",
        f"{over} over, {used:.0%} of the limit used",
    )
    report.measured("limiter_store_trips_per_check", trips)
    report.measured("limiter_over_admitted", over)
    report.measured("limiter_used", used)

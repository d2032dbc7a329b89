"""What ceilings say: to callers whom they refuse, and to people when spending comes near them."""

import logging
from datetime import datetime
from functools import lru_cache

from shared import metrics
from shared.budgets.base import Rung
from shared.budgets.ladder import crossed, retry_after
from shared.counting import Count
from shared.errors import BudgetSpent

KILL_SWITCH_SECONDS = 60
"""When to come back while the kill switch is set."""

log = logging.getLogger("lectern")


def note(rung: Rung, before: int, after: int) -> None:
    """Tell of the thresholds that spending crossed when it went from *before* to *after* nano-dollars."""
    for per_cent in crossed(before, after, rung.ceiling_nanos):
        metrics.budget_thresholds.labels(rung.scope, str(per_cent)).inc()
        # A learner's id is nobody's business in a log; what is left of them is that it was one.
        scope_id = "" if rung.scope == "learner" else rung.id
        log.warning(
            "budget_threshold",
            extra={
                "scope": rung.scope,
                "scope_id": scope_id,
                "period": rung.period,
                "percent": per_cent,
                "nanos": after,
            },
        )


@lru_cache(maxsize=1024)
def spent_nanos(task: str, model: str) -> Count:
    """What counts the money that *task* spends on *model*."""
    return metrics.spent_nanos.labels(task, model)


def refused(rung: Rung, now: datetime) -> BudgetSpent:
    """The refusal of a ceiling, counted."""
    metrics.budget_refusals.labels(rung.scope).inc()
    period = "month" if len(rung.period) == len("2026-11") else "day"
    return BudgetSpent(
        f"the {rung.scope}'s budget of this {period} is spent",
        ceiling=rung.scope,
        retry_after_seconds=retry_after(rung, now),
    )


def stopped() -> BudgetSpent:
    """The refusal of the kill switch, counted."""
    metrics.budget_refusals.labels("killSwitch").inc()
    message = "spending is stopped"
    return BudgetSpent(message, ceiling="killSwitch", retry_after_seconds=KILL_SWITCH_SECONDS)

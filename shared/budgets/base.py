"""
Money as a port: reserve the worst case, call, settle what it was.

All money is in nano-dollars (``nanos``; 1 USD = 1,000,000,000). For every ceiling and at every moment
spent + reserved ≤ ceiling, in whichever processes, whoever is killed and whatever the clock does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from shared.budgets.prices import Usage

NANOS = 1_000_000_000
BUDGETS = "budgets"
KILL_SWITCH = f"{BUDGETS}/killSwitch"
"""``{"stopped": true}`` refuses every reservation within seconds; written in the console, by nobody here."""


class Scope(StrEnum):
    """Whose money it is, the innermost first."""

    LEARNER = "learner"
    CLASS = "class"
    COURSE = "course"
    TENANT = "tenant"


class Payer(NamedTuple):
    """
    On whose behalf money is spent; without a class or a course, those have no ceiling.

    ``class_id`` names the course as well: ``{courseId}.{classId}``.
    """

    uid: str
    course_id: str = ""
    tenant: str = "default"
    class_id: str = ""


class Rung(NamedTuple):
    """One ceiling of a request: of whom, in which period (``2026-11-20`` or ``2026-11``), until when."""

    scope: Scope
    id: str
    period: str
    ceiling_nanos: int
    ends_at: datetime


class Reservation(NamedTuple):
    """Money put aside for one call; settle or release it once, a second time changes nothing."""

    id: str
    payer: Payer
    task: str
    model: str
    nanos: int
    rungs: tuple[Rung, ...]
    made_at: datetime


class Charge(NamedTuple):
    """
    Money that is counted as spent before anybody knows what the work comes to, and may take days to.

    It is all that is needed to correct it, by any process: *id* names its entry, *at* says in which
    periods it was counted.
    """

    id: str
    payer: Payer
    task: str
    model: str
    nanos: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What one scope has spent in one period.

    ``reserved_nanos`` includes what processes hold for calls to come; ``by_task`` has what is spent and
    how many calls it was. ``unaccounted_nanos``, a part of what is spent, was held by processes that
    ended without telling what became of it.
    """

    scope: Scope
    id: str
    period: str
    ceiling_nanos: int
    spent_nanos: int = 0
    reserved_nanos: int = 0
    unaccounted_nanos: int = 0
    by_task: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def remaining_nanos(self) -> int:
        """What may still be reserved."""
        return max(self.ceiling_nanos - self.spent_nanos - self.reserved_nanos, 0)


class Budgets(Protocol):
    """
    What the gateway asks of budgets.

    All may raise Unavailable: then nobody knows what is left, and nothing may be spent.
    """

    async def reserve(self, payer: Payer, *, task: str, model: str, worst_nanos: int) -> Reservation:
        """
        Put *worst_nanos* aside under every ceiling of *payer*, or under none.

        Raises:
            BudgetSpent: a ceiling would be passed, or the kill switch is set.
        """
        ...

    async def settle(self, reservation: Reservation, *, actual_nanos: int, usage: Usage) -> None:
        """Count what the call did cost, free the rest, and enter it in the ledger."""
        ...

    async def release(self, reservation: Reservation) -> None:
        """Free everything: nothing was sent to the provider."""
        ...

    async def charge(self, reservation: Reservation, charge_id: str) -> Charge:
        """
        Count the whole of *reservation* as spent: the work goes on when this process is gone.

        Correct it under *charge_id*, or never: then it stays as it is.
        """
        ...

    async def correct(self, charge: Charge, *, actual_nanos: int, usage: Usage | None) -> None:
        """
        Count *actual_nanos* in the place of a charge, and enter that; without *usage*, nothing was asked.

        Call it once at most, whatever is lost by that: every call corrects. Periods that are over stay
        as they are.
        """
        ...

    async def add(self, charge: Charge) -> None:
        """Count *charge* and enter it, whatever ceiling that passes: a provider has taken it already."""
        ...

    async def report(self) -> None:
        """
        Have everything on record that was counted here.

        Raises:
            Unavailable: the store does not answer; nothing is lost by it.
        """
        ...

    async def remaining(self, payer: Payer) -> int:
        """What could be reserved now, under the tightest ceiling of *payer*; 0 with the kill switch set."""
        ...

    async def spent(self, scope: Scope, scope_id: str) -> list[Figures]:
        """The current day of a scope; of a tenant, then the current month."""
        ...

"""The money of one call: put aside before it, counted after it, whatever happened in between."""

import logging

from shared.budgets.base import Budgets, Payer, Reservation
from shared.budgets.prices import PriceTable, Usage
from shared.errors import LecternError
from shared.gateway.upstream import ATTEMPTS, Call

log = logging.getLogger("lectern")


class Purse:
    """
    What one call may cost.

    Every attempt is reserved at its worst. An attempt of which no reply came whole counts as the worst
    case, because the provider may bill it; one that the provider refused counts as nothing. One whose reply
    came whole counts as what it used, whether it would do or not.
    """

    def __init__(
        self, budgets: Budgets, prices: PriceTable, payer: Payer, *, task: str, model: str, most_tokens: int
    ) -> None:
        """Pay for *task* by *model*, whose reply has *most_tokens* at most, on behalf of *payer*."""
        self._budgets = budgets
        self._prices = prices
        self.payer = payer
        self._task = task
        self._model = model
        self._most_tokens = most_tokens
        self._worst = 0
        self._wasted = Usage()
        self.paid = 0
        """What the call did cost, once the purse is closed."""
        self._reservation: Reservation | None = None

    async def open(self, call: Call) -> None:
        """
        Reserve for *call*.

        Raises:
            BudgetSpent: a ceiling would be passed.
            NotAllowed: nobody knows the price of the model.
        """
        self._worst = self._prices.worst(self._model, len(call.body), self._most_tokens)
        self._reservation = await self._budgets.reserve(
            self.payer, task=self._task, model=self._model, worst_nanos=ATTEMPTS * self._worst
        )

    def rejected(self, call: Call, usage: Usage | None) -> None:
        """Count an attempt whose reply came whole and will not do, if it says what it used."""
        if usage is not None:
            call.unknown -= 1
            self._wasted = self._wasted.plus(usage)

    async def close(self, call: Call, usage: Usage | None, *, whole: bool) -> None:
        """Settle: *whole* says that a reply came to its end, *usage* what it says it used, if it says so."""
        reservation, self._reservation = self._reservation, None
        if reservation is None:
            return
        unknown = call.unknown + (whole and usage is None)
        told = self._wasted if usage is None else self._wasted.plus(usage)
        nanos = min(unknown * self._worst + self._prices.actual(self._model, told), reservation.nanos)
        self.paid = nanos
        try:
            if nanos or whole:
                await self._budgets.settle(reservation, actual_nanos=nanos, usage=told)
            else:
                await self._budgets.release(reservation)
        except LecternError as error:
            # What is reserved and not settled counts as spent in the end: never over, at times under.
            log.warning("settlement_lost", exc_info=error)

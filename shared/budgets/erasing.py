"""Where money names learners: amounts stay, in the ledger and in the sums, and whose they were goes."""

from collections.abc import Mapping
from typing import Any

from shared.budgets.base import BUDGETS, Scope
from shared.budgets.entries import SPEND_ENTRIES
from shared.budgets.leases import SPENDING
from shared.documents.base import Document, Documents, Write
from shared.documents.erasing import Addressed, Named, Place, Scanned, replaced

_OWN = f"{Scope.LEARNER}."


def places(documents: Documents) -> list[Place]:
    """Every place, in the order in which they are gone through."""
    return [
        Scanned(
            documents,
            SPEND_ENTRIES,
            only=["entries"],
            who=_paid_for,
            without=_without,
            page=20,  # 200 entries each, at most: together less than a commit may have
        ),
        Scanned(documents, SPENDING, only=["scope", "scopeId"], who=_accounted),
        _Ceilings(documents),
    ]


class _Ceilings(Addressed):
    """Ceilings of single learners, which somebody wrote in the console."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, BUDGETS, lambda uid: [f"{BUDGETS}/{_OWN}{uid}"])

    async def learners(self, after: str | None) -> Named:
        """See the port."""
        ids, token = await self._documents.ids(BUDGETS, token=after or "")
        own = frozenset(each.removeprefix(_OWN) for each in ids if each.startswith(_OWN))
        return Named(own, token or None)


def _paid_for(fields: Mapping[str, Any]) -> set[str]:
    return {each["uid"] for each in fields["entries"]}


def _without(document: Document, learner_id: str) -> Write:
    entries = [
        {**each, "uid": ""} if each["uid"] == learner_id else each for each in document.fields["entries"]
    ]
    return replaced(document, {"entries": entries})


def _accounted(fields: Mapping[str, Any]) -> list[str]:
    return [fields["scopeId"]] if fields["scope"] == Scope.LEARNER else []

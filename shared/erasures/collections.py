"""
What becomes of every collection when a learner is erased.

A collection that is not in here fails the build (``tests/security/test_scanners.py``), and so does one that
names a learner, once everything was exercised, though it says that it names nobody
(``tests/emulator/test_erasures.py``).
"""

from enum import StrEnum


class Fate(StrEnum):
    """What becomes of documents of an erased learner."""

    REMOVED = "removed"
    """Theirs go as a whole."""
    UNNAMED = "unnamed"
    """What has to stay for others stays, without their name."""
    LEDGER = "ledger"
    """Answers, and what is derived of them: the ledger removes them by the learner's mark."""
    NOBODY = "nobody"
    """Names no learner at all."""
    MARKED = "marked"
    """Keeps a mark, to refuse what comes late and to prove what was done."""


FATES = {
    "answerKeys": Fate.NOBODY,
    "assignments": Fate.LEDGER,
    "assistance": Fate.REMOVED,
    "auditRecords": Fate.MARKED,
    "browserAnswers": Fate.LEDGER,
    "budgets": Fate.REMOVED,
    "cacheGenerations": Fate.REMOVED,
    "cacheLeases": Fate.NOBODY,
    "cachedReplies": Fate.REMOVED,
    "context": Fate.REMOVED,
    "courses": Fate.NOBODY,
    "deadLetters": Fate.LEDGER,
    "decided": Fate.UNNAMED,
    "decisions": Fate.UNNAMED,
    "erasures": Fate.MARKED,
    "evaluationBatches": Fate.NOBODY,
    "evaluations": Fate.REMOVED,
    "figures": Fate.LEDGER,
    "forms": Fate.NOBODY,
    "ledgers": Fate.LEDGER,
    "members": Fate.REMOVED,
    "pendingAnswers": Fate.LEDGER,
    "pilotEvaluations": Fate.REMOVED,
    "pilots": Fate.REMOVED,
    "queuedEvaluations": Fate.REMOVED,
    "rateLimits": Fate.REMOVED,
    "rejectedAnswers": Fate.LEDGER,
    "segments": Fate.LEDGER,
    "shards": Fate.LEDGER,
    "skeletons": Fate.NOBODY,
    "spendEntries": Fate.UNNAMED,
    "spending": Fate.REMOVED,
    "tombstones": Fate.MARKED,
    "users": Fate.REMOVED,
    "waiting": Fate.REMOVED,
}
"""By collection, wherever it lies; its first documents may be beneath another's."""

"""
Erasing a learner everywhere: what is kept of it.

- ``erasures/{erasureId}``: ``learnerId`` until it is closed, ``state``, ``round``, ``passes``, ``found``,
  ``counts`` by collection, ``place``, ``after``, ``actingUntil``, ``requestedAt``, ``resumeAt``,
  ``closedAt``, ``receipt``. The id is the learner's mark, in hexadecimal digits.
- ``auditRecords/{id}``: ``action``, ``actor`` (a mark), ``at``, ``erasureId``, ``round``. Created with what
  it tells of, in one commit; never changed.
- in the archive ``erasures/{erasureId}``, from the request on, and ``erasureReceipts/{erasureId}-{round}``:
  outside the database, so that a restored one can be told whom it must not have.

A mark (``shared/learning/marks.py``) is what a learner is told by where a uid must not stand: whoever has
the receipt key and a uid can say whether they belong together, and nobody can read one from the other.
"""

from enum import StrEnum

ERASURES = "erasures"
AUDIT_RECORDS = "auditRecords"


class State(StrEnum):
    """How far an erasure has come."""

    ERASING = "erasing"
    """A pass over all places is under way."""
    WAITING = "waiting"
    """For the next pass: until then, something that was under way might still be written."""
    CLOSING = "closing"
    """A pass found nothing. The receipt is made, and may not yet be kept outside the database."""
    CLOSED = "closed"

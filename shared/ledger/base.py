"""
Where the ledger keeps what, and the shapes of it.

- ``pendingAnswers/{eventId}``: an answer on record, not merged yet. ``event``: its canonical JSON.
- ``browserAnswers/{eventId}``: the same, written by a browser under the security rules, as a map.
- ``rejectedAnswers/{eventId}``: an answer that cannot be graded. ``event``, ``reason``, ``at``.
- ``ledgers/{assignmentId}/shards/{shard}``: the head of a shard. ``seq`` and ``digest`` of its newest
  segment, ``events`` merged, ``sums``; ``page``: the registers as of segment ``pageSeq``;
  ``parent``, the shard that it was split from after segment ``splitAt``; ``splitBits`` once it has
  itself been split (its children then hold what it held). ``erased``: how many attempts of learners
  were erased; ``erasing``: learners whose answers may still be in the segments.
- ``ledgers/{assignmentId}/shards/{shard}/segments/{seq}``: answers, which only an erasure takes out.
  ``first`` and ``last`` segment in this document (one, until compaction joins several), ``parts`` with
  ``count``, ``digest`` and ``mergedAt`` of each, ``body``: their packed texts, one a line, compressed; or,
  when the body has moved to the archive, ``archive``: its name there. A part that says who was erased
  has their marks, ``erased``; one from which somebody was taken out has ``content``, the digest of what
  was there, and ``kept``, of what is left. ``archiving``: the name under which the body is on its way to
  the archive; ``superseded``: names of objects there that are to go, since ``supersededAt``.
- ``assignments/{assignmentId}``: ``stats``, ``asOf`` and ``shardBits`` are the ledger's, the rest the
  catalog's.
- ``tombstones/learners``: ``entries``, the marks of those who were erased and when, twenty bytes each.
- ``assignments/{assignmentId}/figures/options``: ``questions``, how often each option was chosen, and
  ``asOf``; written with the assignment document, and for the course's teachers only.
"""

from shared.learning.answers import AnswerSubmitted
from shared.learning.sharding import Shard

PENDING = "pendingAnswers"
FROM_BROWSERS = "browserAnswers"
REJECTED = "rejectedAnswers"

HEAD_FIELDS = ("seq", "digest", "events", "sums", "splitBits", "erased", "erasing")


def pending_path(event: AnswerSubmitted) -> str:
    """Where *event* waits to be merged."""
    return f"{FROM_BROWSERS if event.source == 'browser' else PENDING}/{event.event_id}"


def shards_path(assignment_id: str) -> str:
    """The collection of an assignment's shard heads."""
    return f"ledgers/{assignment_id}/shards"


def head_path(assignment_id: str, shard: Shard) -> str:
    """The head of *shard*."""
    return f"{shards_path(assignment_id)}/{shard.name}"


def segments_path(assignment_id: str, shard: Shard) -> str:
    """The collection of a shard's segments."""
    return f"{head_path(assignment_id, shard)}/segments"


def segment_path(assignment_id: str, shard: Shard, seq: int) -> str:
    """The document whose first segment is *seq*; ids sort as numbers do."""
    return f"{segments_path(assignment_id, shard)}/{seq:010d}"


def options_path(assignment_id: str) -> str:
    """How often the options of an assignment's questions were chosen."""
    return f"assignments/{assignment_id}/figures/options"

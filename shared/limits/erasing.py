"""Where calls of a learner are counted: under digests, which whoever guesses a uid could compute."""

from collections.abc import Sequence

from shared.documents.base import Documents
from shared.documents.erasing import Addressed
from shared.limits.base import Limit
from shared.limits.leases import RATE_LIMITS


def counted_calls(documents: Documents, names: Sequence[str], *, seconds: int) -> Addressed:
    """The documents of a learner's limits with these *names*; those in Redis end with their window."""
    return Addressed(
        documents,
        RATE_LIMITS,
        lambda uid: [f"{RATE_LIMITS}/{Limit(name, f'uid:{uid}', 1, seconds).digest}" for name in names],
    )

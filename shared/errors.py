"""
What can go wrong, as a tree.

::

    LecternError                  internal              500
    ├── Rejected                  asking again gives the same answer
    │   ├── InvalidRequest        invalid-argument      400
    │   ├── TooLarge              invalid-argument      413
    │   ├── NotSignedIn           unauthenticated       401
    │   ├── NotAllowed            permission-denied     403
    │   ├── NotFound              not-found             404
    │   └── Conflict              already-exists        409
    └── Unavailable               unavailable           503   asking again may help
        ├── DeadlineExceeded      deadline-exceeded     504
        ├── LeftAlone             unavailable           503   it failed often, and is not asked for a while
        ├── PreconditionLost      aborted               409   somebody else wrote first
        └── TooManyRequests       resource-exhausted    429   Retry-After
            └── BudgetSpent       resource-exhausted    429   a ceiling of money is reached

Only ``shared/edge/problems.py`` turns these into HTTP statuses.
"""

from collections.abc import Mapping, Sequence
from typing import Any


class LecternError(Exception):
    """Anything that this product raises on purpose."""

    def __init__(self, message: str, *, details: Sequence[Mapping[str, Any]] = ()) -> None:
        """Say what is the matter in *message*, which callers may see; *details* are machine-readable."""
        super().__init__(message)
        self.message = message
        self.details = tuple(details)


class Rejected(LecternError):
    """Asking again gives the same answer."""


class InvalidRequest(Rejected):
    """The request breaks a rule that its sender could have known."""


class TooLarge(InvalidRequest):
    """The request is larger than this service reads."""


class NotSignedIn(Rejected):
    """Nobody vouches for the caller."""


class NotAllowed(Rejected):
    """The caller is known, and may not do this."""


class NotFound(Rejected):
    """There is no such thing, or it is not the caller's to know."""


class Conflict(Rejected):
    """The same identity is already on record with different content."""


class Unavailable(LecternError):
    """A part that is needed does not answer now; asking again may help."""

    def __init__(
        self, message: str, *, retry_after_seconds: int = 1, details: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Say what is the matter in *message*, and when to come back, in whole seconds."""
        super().__init__(message, details=details)
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceeded(Unavailable):
    """The time set for this work is over; whether it was done is not known."""


class LeftAlone(Unavailable):
    """What is needed failed too often lately, and is not asked for a while."""


class PreconditionLost(Unavailable):
    """Another writer changed the document first; read it again and decide anew."""


class TooManyRequests(Unavailable):
    """A limit is spent; the message names it."""


class BudgetSpent(TooManyRequests):
    """A ceiling of money is reached; ``ceiling`` says whose: a scope, or ``killSwitch``."""

    def __init__(self, message: str, *, ceiling: str, retry_after_seconds: int = 1) -> None:
        """Say whose money it was, and when there is some again, in whole seconds."""
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.ceiling = ceiling

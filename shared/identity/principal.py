"""Who is asking."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """
    A signed-in caller, as the identity provider vouches for them.

    ``role`` is the custom claim of that name, or empty; ``signed_in_at`` when they proved themselves.
    """

    uid: str
    role: str
    signed_in_at: datetime
    email: str = ""

    @property
    def is_teacher(self) -> bool:
        """Whether they may create courses."""
        return self.role in {"teacher", "admin"}

    @property
    def is_admin(self) -> bool:
        """Whether they may do what reaches over all courses."""
        return self.role == "admin"

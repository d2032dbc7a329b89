"""Identity from a table: for unit tests only."""

from shared.errors import NotSignedIn
from shared.identity.principal import Principal


class MemoryIdentity:
    """Knows the tokens that it was given; the platform's is ``platform``, an app's is ``app``."""

    def __init__(self, principals: dict[str, Principal]) -> None:
        """Accept the keys of *principals* as their tokens."""
        self._principals = principals

    async def principal(self, token: str, *, at_once: bool = False) -> Principal:  # noqa: ARG002  the port has it, and here nothing is ever revoked
        """See the port."""
        if token not in self._principals:
            message = "the ID token is not valid"
            raise NotSignedIn(message)
        return self._principals[token]

    async def check_app(self, token: str) -> None:
        """See the port."""
        if token != "app":  # noqa: S105  # nosec B105  a name, not a secret
            message = "the App Check token is not valid"
            raise NotSignedIn(message)

    async def check_platform(self, token: str) -> None:
        """See the port."""
        if token != "platform":  # noqa: S105  # nosec B105  a name, not a secret
            message = "only the platform may call this"
            raise NotSignedIn(message)

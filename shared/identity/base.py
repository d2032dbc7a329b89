"""Tells who is asking, as a port."""

from typing import Protocol

from shared.identity.principal import Principal


class Identity(Protocol):
    """Checks the proofs that callers bring."""

    async def principal(self, token: str, *, at_once: bool = False) -> Principal:
        """
        The person whom an ID token stands for; a revocation is heard of in a minute, or *at_once*.

        Raises:
            NotSignedIn: the token is not valid, not for this project, over or revoked.
            Unavailable: *at_once*, and nobody can say whether it was revoked.
        """
        ...

    async def check_app(self, token: str) -> None:
        """
        Accept an App Check token.

        Raises:
            NotSignedIn: it does not come from an app of this project.
        """
        ...

    async def check_platform(self, token: str) -> None:
        """
        Accept an OIDC token of the service account that Pub/Sub, Eventarc and Scheduler use.

        Raises:
            NotSignedIn: it is not valid, for another audience, or of another account.
        """
        ...

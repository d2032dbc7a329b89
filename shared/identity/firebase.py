"""Identity by Firebase Auth, App Check and Google's OIDC tokens."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from shared.errors import NotSignedIn, Unavailable
from shared.identity.principal import Principal

_MAX_TOKEN = 8192
_KEPT = 20_000
_MOST_SECONDS_KEPT = 300


class FirebaseIdentity:
    """
    Verifies tokens with firebase-admin and google-auth.

    A verified ID token is remembered until it expires, five minutes at most; verification runs in a
    thread, because it may fetch certificates.
    """

    def __init__(
        self, *, project: str, events_audience: str, events_account: str, now: Callable[[], datetime]
    ) -> None:
        """Accept tokens of *project*; OIDC tokens for *events_audience*, of *events_account*."""
        self._project = project
        self._events_audience = events_audience
        self._events_account = events_account
        self._now = now
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    @cached_property
    def _app(self) -> Any:
        import firebase_admin

        name = f"lectern-{self._project}"
        try:
            return firebase_admin.get_app(name)
        except ValueError:
            return firebase_admin.initialize_app(options={"projectId": self._project}, name=name)

    async def principal(self, token: str) -> Principal:
        """See the port."""
        if not token or len(token) > _MAX_TOKEN or not token.isascii():
            raise NotSignedIn(_REFUSED)
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key)
        if known is not None and self._now().timestamp() < known[0]:
            return known[1]
        claims = await asyncio.to_thread(self._verify, token)
        principal = Principal(
            uid=claims["uid"],
            role=claims["role"] if isinstance(claims.get("role"), str) else "",
            signed_in_at=datetime.fromtimestamp(claims.get("auth_time", 0), UTC),
            email=claims.get("email", ""),
        )
        until = min(float(claims.get("exp", 0)), self._now().timestamp() + _MOST_SECONDS_KEPT)
        self._known[key] = (until, principal)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return principal

    def _verify(self, token: str) -> dict[str, Any]:
        from firebase_admin import auth, exceptions

        try:
            claims: dict[str, Any] = auth.verify_id_token(token, app=self._app, clock_skew_seconds=5)
        except auth.CertificateFetchError as error:
            message = "the certificates of the identity provider cannot be fetched"
            raise Unavailable(message) from error
        except (ValueError, TypeError, KeyError, exceptions.FirebaseError) as error:
            raise NotSignedIn(_REFUSED) from error
        return claims

    async def check_app(self, token: str) -> None:
        """See the port."""
        if not token or len(token) > _MAX_TOKEN:
            raise NotSignedIn(_NO_APP)
        await asyncio.to_thread(self._verify_app, token)

    def _verify_app(self, token: str) -> None:
        import jwt
        from firebase_admin import app_check, exceptions

        try:
            app_check.verify_token(token, app=self._app)
        except (ValueError, jwt.PyJWTError, exceptions.FirebaseError) as error:
            raise NotSignedIn(_NO_APP) from error

    async def check_platform(self, token: str) -> None:
        """See the port."""
        if not token or len(token) > _MAX_TOKEN or not self._events_audience or not self._events_account:
            raise NotSignedIn(_NOT_PLATFORM)
        claims = await asyncio.to_thread(self._verify_platform, token)
        if claims.get("email") != self._events_account or claims.get("email_verified") is not True:
            raise NotSignedIn(_NOT_PLATFORM)

    def _verify_platform(self, token: str) -> dict[str, Any]:
        from google.auth import exceptions
        from google.auth.transport import requests
        from google.oauth2 import id_token

        try:
            verify: Any = id_token.verify_oauth2_token
            claims: dict[str, Any] = verify(token, requests.Request(), audience=self._events_audience)
        except exceptions.TransportError as error:
            message = "Google's certificates cannot be fetched"
            raise Unavailable(message) from error
        except (ValueError, exceptions.GoogleAuthError) as error:
            raise NotSignedIn(_NOT_PLATFORM) from error
        return claims


_REFUSED = "the ID token is not valid"
_NO_APP = "the App Check token is not valid"
_NOT_PLATFORM = "only the platform may call this"

"""Identity by Firebase Auth, App Check and Google's OIDC tokens."""

import asyncio
import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from shared.errors import NotSignedIn, Unavailable
from shared.identity.accounts import Accounts
from shared.identity.principal import Principal
from shared.learning.facts import LearnerId

_MAX_TOKEN = 8192
_SKEW_SECONDS = 5
_KEPT = 20_000
_MOST_SECONDS_KEPT = 300


class _Known(NamedTuple):
    """Whom a token stands for, until when that is remembered, and when it was issued (Unix seconds)."""

    principal: Principal
    until: float
    issued_at: float


class FirebaseIdentity:
    """
    Verifies tokens with google-auth, and App Check tokens with firebase-admin.

    A verified ID token is remembered until it expires, five minutes at most; verification runs in a
    thread, because it may fetch certificates.
    """

    def __init__(
        self,
        *,
        project: str,
        events_audiences: Collection[str],
        events_accounts: Collection[str],
        emulated: bool = False,
        now: Callable[[], float],
        accounts: Accounts | None = None,
    ) -> None:
        """
        Accept tokens of *project*; OIDC tokens for *events_audiences*, of *events_accounts*.

        *now* is in Unix seconds.

        Without *accounts*, a token counts until it expires, whatever becomes of its account.

        With *emulated*, ID tokens are the Auth emulator's, which are not signed.
        """
        self._project = project
        self._events_audiences = list(events_audiences)
        self._events_accounts = frozenset(events_accounts)
        self._emulated = emulated
        self._now = now
        self._accounts = accounts
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    @cached_property
    def _app(self) -> Any:
        import firebase_admin  # heavy, and only App Check needs it

        name = f"lectern-{self._project}"
        try:
            return firebase_admin.get_app(name)
        except ValueError:
            return firebase_admin.initialize_app(options={"projectId": self._project}, name=name)

    @cached_property
    def _request(self) -> Any:
        import cachecontrol  # Google's certificates say how long they may be kept
        import requests
        from google.auth.transport.requests import Request

        return Request(session=cachecontrol.CacheControl(requests.Session()))

    async def principal(self, token: str, *, at_once: bool = False) -> Principal:
        """See the port."""
        known = await self._verified(token)
        if self._accounts is not None:
            await self._accounts.check(
                known.principal.uid,
                signed_in_at=known.principal.signed_in_at.timestamp(),
                issued_at=known.issued_at,
                at_once=at_once,
            )
        return known.principal

    async def close(self) -> None:
        """End the connections to Auth."""
        if self._accounts is not None:
            self._accounts.close()

    async def _verified(self, token: str) -> "_Known":
        if not token or len(token) > _MAX_TOKEN or not token.isascii():
            raise NotSignedIn(_REFUSED)
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key)
        if known is not None and self._now() < known.until:
            return known
        claims = await asyncio.to_thread(self._verify, token)
        principal = Principal(
            uid=claims["sub"],
            role=claims["role"] if isinstance(claims.get("role"), str) else "",
            signed_in_at=datetime.fromtimestamp(claims["auth_time"], UTC),
            email=claims.get("email", ""),
        )
        until = min(float(claims["exp"]), self._now() + _MOST_SECONDS_KEPT)
        issued_at = claims.get("iat")
        self._known[key] = _Known(
            principal, until, float(issued_at) if isinstance(issued_at, int | float) else 0.0
        )
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[key]

    def _verify(self, token: str) -> Mapping[str, Any]:
        """The claims of an ID token; https://firebase.google.com/docs/auth/admin/verify-id-tokens."""
        claims = _unsigned(token) if self._emulated else self._signed(token)
        now = self._now()
        subject, signed_in, expires = (claims.get(name) for name in ("sub", "auth_time", "exp"))
        proper = (
            claims.get("aud") == self._project
            and claims.get("iss") == f"https://securetoken.google.com/{self._project}"
            and _may_be_a_uid(subject)
            and isinstance(signed_in, int | float)
            and signed_in <= now + _SKEW_SECONDS
            and isinstance(expires, int | float)
            and expires > now - _SKEW_SECONDS
            and not _is_anonymous(claims)
        )
        if not proper:
            raise NotSignedIn(_REFUSED)
        return claims

    def _signed(self, token: str) -> Mapping[str, Any]:
        from google.auth import exceptions  # heavy, and not needed where nothing is signed
        from google.oauth2 import id_token

        try:
            claims: Mapping[str, Any] = id_token.verify_firebase_token(
                token, self._request, audience=self._project, clock_skew_in_seconds=_SKEW_SECONDS
            )
        except exceptions.TransportError as error:
            message = "the certificates of the identity provider cannot be fetched"
            raise Unavailable(message) from error
        except (ValueError, TypeError, KeyError, exceptions.GoogleAuthError) as error:
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
        if not token or len(token) > _MAX_TOKEN or not self._events_audiences or not self._events_accounts:
            raise NotSignedIn(_NOT_PLATFORM)
        claims = await asyncio.to_thread(self._verify_platform, token)
        if claims.get("email") not in self._events_accounts or claims.get("email_verified") is not True:
            raise NotSignedIn(_NOT_PLATFORM)

    def _verify_platform(self, token: str) -> dict[str, Any]:
        from google.auth import exceptions
        from google.oauth2 import id_token

        try:
            verify: Any = id_token.verify_oauth2_token
            claims: dict[str, Any] = verify(token, self._request, audience=self._events_audiences)
        except exceptions.TransportError as error:
            message = "Google's certificates cannot be fetched"
            raise Unavailable(message) from error
        except (ValueError, exceptions.GoogleAuthError) as error:
            raise NotSignedIn(_NOT_PLATFORM) from error
        return claims


def _is_anonymous(claims: Mapping[str, Any]) -> bool:
    """Whether it is an account that anybody may make at any time, limits and budgets and all."""
    about = claims.get("firebase")
    return isinstance(about, Mapping) and about.get("sign_in_provider") == "anonymous"


def _unsigned(token: str) -> Mapping[str, Any]:
    """The claims of one of the Auth emulator's tokens, which are not signed."""
    try:
        _, payload, signature = token.split(".")
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError as error:
        raise NotSignedIn(_REFUSED) from error
    if not isinstance(claims, dict) or signature:
        raise NotSignedIn(_REFUSED)
    return claims


def _may_be_a_uid(subject: object) -> bool:
    # A custom token may name any text; one with a slash would be a path to somewhere else.
    try:
        _UID.validate_python(subject, strict=True)
    except ValidationError:
        return False
    return True


_UID: TypeAdapter[str] = TypeAdapter(LearnerId)
_REFUSED = "the ID token is not valid"
_NO_APP = "the App Check token is not valid"
_NOT_PLATFORM = "only the platform may call this"

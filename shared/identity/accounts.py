"""
Whether accounts still stand: a token outlives the revocation of its session by up to an hour.

Sensitive functions ask Firebase Auth each time, and refuse when it does not answer. All others hear of a
revoked, disabled or deleted account within a minute: what was looked up is believed for half of it, then
looked up again meanwhile, and after a minute waited for, up to a hundred accounts to a request. A token
that was just issued is proof by itself. When Auth does not answer, they go by the signature alone.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from shared import metrics
from shared.documents.erasing import Named, Step, counted
from shared.errors import NotSignedIn, Unavailable

_FRESH_SECONDS = 30.0
_BELIEVED_SECONDS = 60.0
_SILENCE_SECONDS = 5.0
_TIMEOUT_SECONDS = 3.0
_MOST_TOGETHER = 100
_GATHER_SECONDS = 0.01
_KEPT = 50_000
_MOST_LISTED = 1000
_BAD_REQUEST = 400
_NEVER: tuple[float, None] = (float("-inf"), None)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as Auth knows it; tokens of sign-ins before *valid_since* (Unix seconds) are revoked."""

    valid_since: float
    disabled: bool = False


class AccountDirectory(Protocol):
    """Where accounts are looked up; blocking."""

    def look_up(self, uids: Sequence[str]) -> Mapping[str, Account]:
        """
        The accounts that there are, of a hundred *uids* at most.

        Raises:
            Unavailable: the directory does not answer.
        """
        ...

    def delete(self, uid: str) -> bool:
        """
        Remove the account of *uid*, with which its sessions are over; whether there was one.

        Raises:
            Unavailable: the directory does not answer, or does not allow it.
        """
        ...

    def uids(self, token: str) -> tuple[list[str], str]:
        """
        Some of all uids, and the token of the page behind them; *token* is that, or empty at first.

        Raises:
            Unavailable: the directory does not answer.
        """
        ...

    def close(self) -> None:
        """End its connections."""
        ...


class Accounts:
    """Refuses tokens whose account does not stand any more."""

    def __init__(self, directory: AccountDirectory, *, now: Callable[[], float]) -> None:
        """Ask *directory*; *now* is in Unix seconds."""
        self._directory = directory
        self._now = now
        self._known: OrderedDict[str, tuple[float, Account | None]] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._silent_until = float("-inf")

    def close(self) -> None:
        """End the connections to the directory."""
        self._directory.close()

    async def check(self, uid: str, *, signed_in_at: float, issued_at: float, at_once: bool) -> None:
        """
        Accept a token of *uid*, from a sign-in and a refresh at these Unix seconds.

        Raises:
            NotSignedIn: its session was revoked, or its account disabled or deleted.
            Unavailable: *at_once*, and Auth does not answer.
        """
        if at_once:
            await self._ask([uid])
            self._judge(uid, signed_in_at)
            return
        asked_at, _ = self._known.get(uid, _NEVER)
        now = self._now()
        age = now - max(asked_at, issued_at)
        if age > _FRESH_SECONDS and now >= self._silent_until:
            answer = self._want(uid)
            if age > _BELIEVED_SECONDS:
                await asyncio.shield(answer)
                asked_at, _ = self._known.get(uid, _NEVER)
        if asked_at >= issued_at:  # a token that Auth issued since knows better
            self._judge(uid, signed_in_at)

    def _judge(self, uid: str, signed_in_at: float) -> None:
        account = self._known[uid][1]
        if account is None or account.disabled or signed_in_at < account.valid_since:
            metrics.accounts_refused.inc()
            message = "the session was revoked, or the account is closed"
            raise NotSignedIn(message)

    def _want(self, uid: str) -> asyncio.Future[None]:
        if uid not in self._wanted:
            self._wanted[uid] = asyncio.get_running_loop().create_future()
            if len(self._wanted) == 1:
                task = asyncio.create_task(self._answer_all())
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
        return self._wanted[uid]

    async def _answer_all(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        wanted, self._wanted = self._wanted, {}
        uids = list(wanted)
        for start in range(0, len(uids), _MOST_TOGETHER):
            some = uids[start : start + _MOST_TOGETHER]
            try:
                await self._ask(some)
            except Unavailable:
                # Whoever has a good signature is let in, and Auth is left alone for a moment.
                self._silent_until = self._now() + _SILENCE_SECONDS
            finally:
                for uid in some:
                    wanted[uid].set_result(None)

    async def _ask(self, uids: Sequence[str]) -> None:
        asked_at = self._now()
        try:
            found = await asyncio.to_thread(self._directory.look_up, uids)
        except Unavailable:
            metrics.account_lookups.labels("failed").inc()
            raise
        metrics.account_lookups.labels("done").inc()
        for uid in uids:
            self._known[uid] = (asked_at, found.get(uid))
            self._known.move_to_end(uid)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)


class AccountsOfLearners:
    """Accounts as a place from which learners are removed: whose is gone is signed in nowhere any more."""

    name = "accounts"
    acts = True

    def __init__(self, directory: AccountDirectory) -> None:
        """Remove them from *directory*."""
        self._directory = directory

    async def step(self, learner_id: str, after: str | None) -> Step:  # noqa: ARG002  one step is all
        """See the port."""
        deleted = await asyncio.to_thread(self._directory.delete, learner_id)
        return Step((), counted(self.name, int(deleted)))

    async def learners(self, after: str | None) -> Named:
        """See the port."""
        uids, token = await asyncio.to_thread(self._directory.uids, after or "")
        return Named(frozenset(uids), token or None)


class IdentityToolkit:
    """
    Looks accounts up in Firebase Auth, and deletes them.

    https://cloud.google.com/identity-platform/docs/reference/rest/v1/projects.accounts
    """

    def __init__(self, *, project: str, emulator_host: str = "") -> None:
        """Ask Auth of *project*, or the emulator at *emulator_host*."""
        origin = f"http://{emulator_host}/" if emulator_host else "https://"
        self._url = f"{origin}identitytoolkit.googleapis.com/v1/projects/{project}/accounts"
        self._emulated = bool(emulator_host)

    @cached_property
    def _session(self) -> Any:
        import requests  # not needed before a token is a minute old

        if self._emulated:
            session = requests.Session()
            session.headers["Authorization"] = "Bearer owner"
            return session
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/identitytoolkit"])
        session_of: Any = AuthorizedSession
        return session_of(credentials)

    def look_up(self, uids: Sequence[str]) -> Mapping[str, Account]:
        """See the port."""
        with _our_errors("accounts cannot be looked up"):
            found = self._answered(self._post("lookup", {"localId": list(uids)}))
            return {
                user["localId"]: Account(float(user.get("validSince", 0)), user.get("disabled", False))
                for user in found.get("users", [])
            }

    def delete(self, uid: str) -> bool:
        """See the port."""
        with _our_errors("accounts cannot be deleted"):
            response = self._post("delete", {"localId": uid})
            if response.status_code == _BAD_REQUEST:
                reason = response.json()["error"]["message"]
                if str(reason).startswith("USER_NOT_FOUND"):
                    return False
            self._answered(response)
            return True

    def uids(self, token: str) -> tuple[list[str], str]:
        """See the port."""
        asked = {"maxResults": str(_MOST_LISTED), **({"nextPageToken": token} if token else {})}
        with _our_errors("accounts cannot be listed"):
            response = self._session.get(f"{self._url}:batchGet", params=asked, timeout=_TIMEOUT_SECONDS)
            found = self._answered(response)
            return [user["localId"] for user in found.get("users", [])], found.get("nextPageToken", "")

    def _post(self, action: str, body: Mapping[str, object]) -> Any:
        return self._session.post(f"{self._url}:{action}", json=body, timeout=_TIMEOUT_SECONDS)

    def _answered(self, response: Any) -> Any:
        response.raise_for_status()
        return response.json()

    def close(self) -> None:
        """See the port."""
        session = self.__dict__.pop("_session", None)
        if session is not None:
            session.close()


@contextmanager
def _our_errors(message: str) -> Iterator[None]:
    """Tell *message* where Auth does not answer as it should: what it says itself may name somebody."""
    import requests
    from google.auth import exceptions

    try:
        yield
    except (requests.RequestException, exceptions.GoogleAuthError, ValueError, KeyError) as error:
        raise Unavailable(message) from error

"""Receipts: what proves that an answer was taken, and that a copy of it is ours."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from shared.errors import InvalidRequest
from shared.learning.answers import AnswerSubmitted

_PARTS = 5


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a valid receipt vouches for; ``submitted_at`` in microseconds since 1970, UTC."""

    event_id: str
    digest: str
    submitted_at: int


def issue(event: AnswerSubmitted, text: str, *, key: bytes) -> str:
    """
    Sign for *event*, whose canonical JSON is *text*.

    A receipt is ``v1.{event id}.{SHA-256 of the event's JSON}.{microseconds}.{MAC}``. The MAC is
    HMAC-SHA256 in URL-safe base64; a message that carries event and MAC is as good as the document.
    """
    claims = _claims(event.event_id, hashlib.sha256(text.encode()).hexdigest(), event.submitted_at)
    return f"{claims}.{_mac(claims, key)}"


def seal_of(receipt: str) -> str:
    """The MAC alone, to travel beside the event that it vouches for."""
    return receipt.rpartition(".")[2]


def is_sealed(event: AnswerSubmitted, text: str, seal: str, *, key: bytes) -> bool:
    """Whether *seal* is our MAC over exactly this event."""
    # As bytes: texts that are not ASCII cannot be compared in constant time, and raise.
    return hmac.compare_digest(seal_of(issue(event, text, key=key)).encode(), seal.encode())


def read(receipt: str, *, key: bytes) -> Receipt:
    """
    Say what *receipt* vouches for.

    Raises:
        InvalidRequest: it is not a receipt of ours, or was altered.
    """
    claims, _, mac = receipt.rpartition(".")
    parts = claims.split(".")
    if len(parts) != _PARTS - 1 or not hmac.compare_digest(_mac(claims, key).encode(), mac.encode()):
        message = "this receipt was not issued here"
        raise InvalidRequest(message)
    return Receipt(event_id=parts[1], digest=parts[2], submitted_at=int(parts[3]))


def _claims(event_id: str, digest: str, submitted_at: int) -> str:
    return f"v1.{event_id}.{digest}.{submitted_at}"


def _mac(claims: str, key: bytes) -> str:
    digest = hmac.digest(key, b"lectern.receipt\n" + claims.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

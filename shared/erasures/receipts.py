"""Receipts of erasures: what proves, later and elsewhere, that a learner was erased, and when."""

import base64
import binascii
import hmac
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from shared.errors import InvalidRequest
from shared.learning.facts import Fact

ErasureId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""A learner's mark, as 32 lower-case hexadecimal digits."""

_PREFIX = "v1."


class Erased(Fact):
    """
    What a receipt vouches for.

    ``counts`` are documents by collection, and answers, that were removed or, where something has to stay,
    freed of their names. ``round`` counts the erasures of one learner, should they have come back.
    """

    erasure_id: ErasureId
    round: Annotated[int, Field(ge=1)]
    requested_at: AwareDatetime
    closed_at: AwareDatetime
    passes: Annotated[int, Field(ge=2)]
    counts: dict[str, Annotated[int, Field(ge=0)]]


def issue(erased: Erased, *, key: bytes) -> str:
    """
    Sign *erased*.

    A receipt is ``v1.{JSON}.{MAC}``, both in URL-safe base64; the MAC is HMAC-SHA256 under the receipt key.
    """
    claims = _PREFIX + _text(erased.model_dump_json(by_alias=True).encode())
    return f"{claims}.{_mac(claims, key)}"


def read(receipt: str, *, key: bytes) -> Erased:
    """
    Say what *receipt* vouches for.

    Raises:
        InvalidRequest: it is not a receipt of ours, or was altered.
    """
    claims, _, mac = receipt.rpartition(".")
    # As bytes: texts that are not ASCII cannot be compared in constant time, and raise.
    if not claims.startswith(_PREFIX) or not hmac.compare_digest(_mac(claims, key).encode(), mac.encode()):
        raise InvalidRequest(_NOT_OURS)
    packed = claims.removeprefix(_PREFIX)
    try:
        return Erased.model_validate_json(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (ValidationError, binascii.Error):
        raise InvalidRequest(_NOT_OURS) from None


_NOT_OURS = "this receipt was not issued here"


def _mac(claims: str, key: bytes) -> str:
    return _text(hmac.digest(key, b"lectern.erasureReceipt\n" + claims.encode(), "sha256"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

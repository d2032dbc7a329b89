"""The base of every fact that is stored or sent: frozen, strict, camelCase outside."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel


class Fact(BaseModel):
    """
    A frozen record; one model serves as body, document and message.

    How to validate it is worked out on first use: most functions use few of those that they import.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        ser_json_inf_nan="null",
        defer_build=True,
    )


def _not_reserved(value: str) -> str:
    if value in {".", ".."} or (value.startswith("__") and value.endswith("__")):
        message = "this id is reserved"
        raise ValueError(message)
    return value


DocumentId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$"), AfterValidator(_not_reserved)
]
"""
One segment of a document path: ASCII letters, digits, ``_`` and ``-``, 1 to 64 of them.

Not ``__…__``, which Firestore keeps for itself.
"""

LearnerId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@+|-]{1,128}$"), AfterValidator(_not_reserved)
]
"""A Firebase Auth uid, 1 to 128 characters, that may be one segment of a document path."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256, as 64 lower-case hexadecimal digits."""

"""What is asked of a model, and what it replies; the gateway's own errors are those of ``errors``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.budgets.prices import Usage
from shared.caching.base import CacheUse

CANNED = "built-in-tutor"
"""The ``system_fingerprint`` of replies that no model wrote."""

MARGIN_SECONDS = 0.8
"""So much less than its callers wait is a model given, so that an error can still be told."""


@dataclass(frozen=True, slots=True)
class Ask:
    """
    A task for a model: chat *messages* that the product composed, never a client.

    *model_class* is a size, which settings map to a name. *schema* is a JSON schema for strict structured
    output; *accept* looks at the text and raises ValueError if it will not do (then the model is asked
    again, and if that does not help either the call fails). *cache* says for whom, and how long, the
    reply may be kept; replies that were cut short never are. Where money for the large model is short the
    small one is asked, unless *one_model* says that its reply would be of no use.
    """

    task: str
    model_class: Literal["small", "large"]
    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    temperature: float = 0.0
    cache: CacheUse | None = None
    deadline_seconds: float = 10.0
    accept: Callable[[str], object] | None = None
    one_model: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What a model replied: *text*, which nobody may trust.

    *finish_reason* is ``stop`` or, at ``max_tokens``, ``length``. *cached*: it was kept from before, and
    cost nothing. *nanos*: what it cost, with all attempts. *canned*: it comes from the built-in tutor, and
    people are told so. *smaller*: money was short, and the small model wrote it instead of the large one.
    """

    text: str
    model: str
    usage: Usage
    cached: bool
    canned: bool
    finish_reason: str
    nanos: int = 0
    smaller: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """What an ask would be: which model, which request, and the most that it can cost in nano-dollars."""

    model: str
    body: bytes
    worst_nanos: int

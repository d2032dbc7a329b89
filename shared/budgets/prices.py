"""
What models cost, as data, in nano-dollars (1 USD = 1,000,000,000) for one token.

A model that is not in the table cannot be used: money that nobody can reckon is not spent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from shared.errors import NotAllowed

AS_OF = date(2025, 8, 7)
SOURCE = "https://platform.openai.com/docs/pricing"
"""Where the prices stood on ``AS_OF``; ``LECTERN_PRICES`` replaces or adds without a deployment."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_FRAMING_TOKENS = 64
"""What a chat template adds to a request: a few tokens for each message, far below its JSON's bytes."""


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars for one token that is sent, sent and found in the provider's cache, and written."""

    prompt: int
    cached: int
    completion: int


class Usage(NamedTuple):
    """Tokens as the provider reports them; ``cached_tokens`` are among ``prompt_tokens``."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


PRICES: Mapping[str, Price] = {
    "gpt-4o-mini": Price(150, 75, 600),
    "gpt-4.1": Price(2_000, 500, 8_000),
    "gpt-4.1-mini": Price(400, 100, 1_600),
    "gpt-4.1-nano": Price(100, 25, 400),
    "gpt-5": Price(1_250, 125, 10_000),
    "gpt-5-mini": Price(250, 25, 2_000),
    "gpt-5-nano": Price(50, 5, 400),
    "text-embedding-3-small": Price(20, 20, 0),
    "text-embedding-3-large": Price(130, 130, 0),
    # The built-in tutor costs nothing; it has a price so that budgets are at work locally, too.
    "canned": Price(100, 50, 400),
}


class PriceTable:
    """The prices in force: ``PRICES``, and what settings put in their place."""

    def __init__(self, replaced: Mapping[str, tuple[int, int, int]] | None = None) -> None:
        """Use *replaced* (prompt, cached, completion by model) before ``PRICES``."""
        self._prices = {**PRICES, **{name: Price(*each) for name, each in (replaced or {}).items()}}

    def of(self, model: str) -> Price:
        """
        The price of *model*, also under the name of a dated snapshot (``gpt-4o-mini-2024-07-18``).

        Raises:
            NotAllowed: there is none.
        """
        price = self._prices.get(model) or self._prices.get(_SNAPSHOT.sub("", model))
        if price is None:
            message = "no price is known for this model"
            raise NotAllowed(message)
        return price

    def worst(self, model: str, prompt_bytes: int, max_tokens: int, *, attempts: int = 1) -> int:
        """
        The most that a call can cost, in nano-dollars, if each of *attempts* is billed.

        *prompt_bytes* is the size of the request's body: a token is at least one byte of it.
        """
        price = self.of(model)
        return attempts * ((prompt_bytes + _FRAMING_TOKENS) * price.prompt + max_tokens * price.completion)

    def actual(self, model: str, usage: Usage) -> int:
        """What a call did cost, in nano-dollars."""
        price = self.of(model)
        cached = min(max(usage.cached_tokens, 0), usage.prompt_tokens)
        fresh = usage.prompt_tokens - cached
        return fresh * price.prompt + cached * price.cached + usage.completion_tokens * price.completion


_TABLE = PriceTable()


def worst(model: str, prompt_bytes: int, max_tokens: int, *, attempts: int = 1) -> int:
    """See ``PriceTable.worst``, with the prices of ``PRICES``."""
    return _TABLE.worst(model, prompt_bytes, max_tokens, attempts=attempts)


def actual(model: str, usage: Usage) -> int:
    """See ``PriceTable.actual``, with the prices of ``PRICES``."""
    return _TABLE.actual(model, usage)

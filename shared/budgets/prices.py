"""
What models cost, as data, in nano-dollars (1 USD = 1,000,000,000) for one token.

A model that is not in the table cannot be used: money that nobody can reckon is not spent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from shared.errors import NotAllowed

AS_OF = date(2026, 10, 27)
SOURCE = "https://developers.openai.com/api/docs/pricing"
"""
Where the prices stood on ``AS_OF``; ``LECTERN_PRICES`` replaces or adds without a deployment.

Those of 2026 were read from copies that agree with each other: the table in LiteLLM 1.106.2,
https://docs.litellm.ai/blog/gpt-6-1-terra, https://github.com/TheKrush/PromptFuel/releases.
"""
BATCH_PERCENT = 50
BATCH_AS_OF = date(2026, 11, 28)
BATCH_SOURCE = "https://developers.openai.com/api/docs/guides/batch"
"""
What a token costs in a batch, in per cent of its price, be it sent or replied: half.

On ``BATCH_AS_OF`` it was read from accounts of that page that agree, such as
https://apidog.com/blog/openai-batch-api/.

``LECTERN_BATCH_PERCENT`` is another provider's.
"""
LONG_PROMPT_TOKENS = 272_000
"""Beyond these, OpenAI bills a whole request at up to twice the price; no request here may be so large."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
FRAMING_TOKENS = 64
"""What a chat template adds to a request: a few tokens for each message, far below its JSON's bytes."""


@dataclass(frozen=True, slots=True)
class Price:
    """
    Nano-dollars for one token that is sent, sent and found in the provider's cache, and replied.

    ``cache_write`` is for one that is sent and put into that cache, for half an hour; 0 where that costs
    nothing more.
    """

    prompt: int
    cached: int
    completion: int
    cache_write: int = 0

    @property
    def written(self) -> int:
        """For one token that is sent and put into the provider's cache."""
        return self.cache_write or self.prompt

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """All of it, as settings have it."""
        return self.prompt, self.cached, self.completion, self.written


class Usage(NamedTuple):
    """
    Tokens as the provider reports them.

    ``cached_tokens`` (found in its cache) and ``cache_write_tokens`` (put there) are among
    ``prompt_tokens``.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    def plus(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


PRICES: Mapping[str, Price] = {
    "gpt-6.1-sol": Price(2_000, 100, 10_000, 2_500),
    "gpt-6.1-terra": Price(1_000, 50, 5_000, 1_250),
    "gpt-6-astra": Price(10_000, 1_000, 50_000, 12_500),
    "gpt-6-sol": Price(2_000, 200, 10_000, 2_500),
    "gpt-6-luna": Price(100, 10, 500, 125),
    "gpt-5.6-sol": Price(4_000, 400, 20_000, 5_000),
    "gpt-5.6-terra": Price(2_000, 200, 12_000, 2_500),
    "gpt-5.6-luna": Price(200, 20, 1_200, 250),
    "gpt-5.5": Price(5_000, 500, 30_000),
    "gpt-5.4": Price(2_500, 250, 15_000),
    "gpt-5.4-mini": Price(750, 75, 4_500),
    "gpt-5.4-nano": Price(200, 20, 1_250),
    "gpt-5.2": Price(1_750, 175, 14_000),
    "gpt-5.1": Price(1_250, 125, 10_000),
    # OpenAI shuts these three down on 2026-12-11,
    "gpt-5": Price(1_250, 125, 10_000),
    "gpt-5-mini": Price(250, 25, 2_000),
    "gpt-5-nano": Price(50, 5, 400),
    # and these on 2027-01-14: https://developers.openai.com/api/docs/deprecations
    "gpt-4.1": Price(2_000, 500, 8_000),
    "gpt-4.1-mini": Price(400, 100, 1_600),
    "gpt-4o-mini": Price(150, 75, 600),
    "text-embedding-3-small": Price(20, 20, 0),
    "text-embedding-3-large": Price(130, 130, 0),
    # The built-in tutor costs nothing; it has a price so that budgets are at work locally, too.
    "canned": Price(100, 50, 400),
}


class PriceTable:
    """The prices in force: ``PRICES``, and what settings put in their place."""

    def __init__(
        self, replaced: Mapping[str, Sequence[int]] | None = None, *, batch_percent: int = BATCH_PERCENT
    ) -> None:
        """
        Use *replaced* (prompt, cached, completion, perhaps cache write, by model) before ``PRICES``.

        In a batch, everything costs *batch_percent* of that.
        """
        self._batch_percent = batch_percent
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
        each = max(price.prompt, price.written)
        return attempts * ((prompt_bytes + FRAMING_TOKENS) * each + max_tokens * price.completion)

    def in_batch(self, nanos: int) -> int:
        """What costs *nanos* by itself, as a part of a batch; rounded up."""
        return -(-nanos * self._batch_percent // 100)

    def actual(self, model: str, usage: Usage) -> int:
        """What a call did cost, in nano-dollars."""
        price = self.of(model)
        cached = min(max(usage.cached_tokens, 0), usage.prompt_tokens)
        written = min(max(usage.cache_write_tokens, 0), usage.prompt_tokens - cached)
        fresh = usage.prompt_tokens - cached - written
        prompt = fresh * price.prompt + cached * price.cached + written * price.written
        return prompt + usage.completion_tokens * price.completion


_TABLE = PriceTable()


def worst(model: str, prompt_bytes: int, max_tokens: int, *, attempts: int = 1) -> int:
    """See ``PriceTable.worst``, with the prices of ``PRICES``."""
    return _TABLE.worst(model, prompt_bytes, max_tokens, attempts=attempts)


def actual(model: str, usage: Usage) -> int:
    """See ``PriceTable.actual``, with the prices of ``PRICES``."""
    return _TABLE.actual(model, usage)

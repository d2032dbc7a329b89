"""Leases over the in-memory store keep the contract, and cost few round trips."""

from types import SimpleNamespace

import pytest

from shared.documents.memory import MemoryDocuments
from shared.limits.leases import LeaseLimiter
from tests.limits_contract import LimiterContract


@pytest.fixture
def clock():
    return SimpleNamespace(seconds=1_700_000_000.0)


class TestLeaseLimiter(LimiterContract):
    @pytest.fixture
    async def limiter(self, clock):
        limiter = LeaseLimiter(MemoryDocuments(), lambda: clock.seconds)
        yield limiter
        await limiter.close()

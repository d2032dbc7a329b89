"""A class in memory, with a gateway that answers what the test says."""

import pytest

from tests.deployed import in_memory, replace
from tests.tutoring import FixedGateway, a_class


@pytest.fixture
async def app():
    async with in_memory(firestore_emulator_host="unused", limiter="memory") as app:
        replace(app.services, gateway=FixedGateway())
        yield app


@pytest.fixture
async def lesson(app):
    return await a_class(app)


@pytest.fixture
def gateway(app):
    """Put another gateway in place."""

    def use(*arguments, **options):
        made = FixedGateway(*arguments, **options)
        replace(app.services, gateway=made)
        return made

    return use

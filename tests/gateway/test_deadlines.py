"""One timer for all calls: each is still ended at its own time, and none that is over."""

import asyncio

import pytest
import uvloop

from shared.gateway.connections import Deadlines


class Aborted:
    """A connection that notes when it was aborted."""

    def __init__(self) -> None:
        self.at = None

    def abort(self):
        self.at = asyncio.get_running_loop().time()


async def each_in_its_time():
    deadlines, now = Deadlines(), asyncio.get_running_loop().time()
    waits = (0.3, 0.1, 0.2, 0.1, 60.0)
    calls = [Aborted() for _ in waits]
    for call, wait in zip(calls, waits, strict=True):
        deadlines.begin(call, now + wait)
    await asyncio.sleep(0.5)
    assert calls[-1].at is None
    for call, wait in zip(calls[:-1], waits, strict=False):
        assert -0.003 < call.at - now - wait < 0.15


async def over_and_late():
    deadlines, now = Deadlines(), asyncio.get_running_loop().time()
    over, late, another = Aborted(), Aborted(), Aborted()
    deadlines.begin(over, now + 0.05)
    deadlines.over(over)
    deadlines.over(over)
    deadlines.begin(late, now - 1)
    await asyncio.sleep(0.1)
    assert over.at is None
    assert late.at is not None
    deadlines.begin(another, now + 0.15)
    await asyncio.sleep(0.15)
    assert another.at is not None
    assert deadlines._timer is None


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("scene", [each_in_its_time, over_and_late])
def test_every_call_ends_at_its_own_deadline_and_none_that_is_over(loop, scene):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())

"""A request's deadline does what asyncio's own timeout does, whatever else happens to the work."""

import asyncio

import pytest

from shared.edge.exchange import Deadline


class AsyncTimeout:
    """``asyncio.timeout`` behind the same interface."""

    def __init__(self, seconds):
        self._timeout = asyncio.timeout(seconds)

    async def __call__(self, work):
        async with self._timeout:
            return await work

    def expire(self):
        self._timeout._on_timeout()


class Ours:
    def __init__(self, seconds):
        self._deadline = Deadline(seconds)

    async def __call__(self, work):
        with self._deadline:
            return await work

    def expire(self):
        self._deadline._expire()


async def in_time():
    await asyncio.sleep(0)
    return "done"


async def too_slow():
    await asyncio.sleep(60)


async def fails():
    raise ZeroDivisionError


async def fails_when_it_is_cut_off():
    try:
        await asyncio.sleep(60)
    finally:
        raise ZeroDivisionError


async def does_not_stop():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "stubborn"


async def outcome(timed, work):
    """What it came to, and how many cancellations the task is left with."""
    try:
        result = await timed(work())
    except BaseException as error:  # noqa: BLE001  which one it is, is what is asked
        result = type(error)
    return result, asyncio.current_task().cancelling()


@pytest.mark.parametrize("work", [in_time, too_slow, fails, fails_when_it_is_cut_off, does_not_stop])
async def test_work_ends_as_under_asyncios_timeout(work):
    ours = await asyncio.create_task(outcome(Ours(0.01), work))
    theirs = await asyncio.create_task(outcome(AsyncTimeout(0.01), work))
    assert ours == theirs
    assert ours[1] == 0


@pytest.mark.parametrize("timed", [Ours, AsyncTimeout])
async def test_a_cancellation_from_elsewhere_is_not_a_timeout(timed):
    task = asyncio.create_task(timed(60)(too_slow()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("timed", [Ours, AsyncTimeout])
async def test_nor_is_one_that_comes_with_the_deadline(timed):
    def at_once():
        timing.expire()
        task.cancel()

    async def cancelled_at_the_deadline():
        asyncio.get_running_loop().call_soon(at_once)
        await asyncio.sleep(60)

    timing = timed(60)
    task = asyncio.create_task(timing(cancelled_at_the_deadline()))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_of_two_deadlines_the_first_ends_the_work():
    with pytest.raises(TimeoutError), Deadline(60), Deadline(0.001):
        await asyncio.sleep(60)
    assert asyncio.current_task().cancelling() == 0


async def test_what_was_over_in_time_is_not_cancelled_later():
    with Deadline(0.001):
        pass
    await asyncio.sleep(0.01)


def test_there_is_nothing_to_cut_off_outside_a_task():
    async def main():
        found = []

        def enter():
            try:
                Deadline(1).__enter__()
            except RuntimeError as error:
                found.append(error)

        asyncio.get_running_loop().call_soon(enter)
        await asyncio.sleep(0)
        return found

    assert len(asyncio.run(main())) == 1

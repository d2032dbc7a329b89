"""
Ten thousand small worlds in which everything goes wrong, and not one answer is lost or counted twice.

A failing seed names the command that plays it again.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checker import Wrong
from tests.mutants import MUTANTS
from tests.simulation.loop import SimulatedLoop, Stuck
from tests.simulation.world import simulate

SEEDS = 10_000
CHUNK = 250
ENOUGH_TO_CATCH_A_MUTANT = 1500


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_lost_or_counted_twice_whatever_happens(first):
    for seed in range(first, first + CHUNK):
        simulate(seed)


def test_what_may_happen_does_happen():
    outcomes = [simulate(seed) for seed in range(SEEDS, SEEDS + 150)]
    assert sum(outcome.kills for outcome in outcomes) > 50
    assert sum(outcome.splits for outcome in outcomes) > 20
    assert sum(outcome.swept for outcome in outcomes) > 5
    assert sum(outcome.answers for outcome in outcomes) > 500
    # In these, messages alone brought every answer home: the sweep had nothing left to hide.
    assert sum(outcome.faultless for outcome in outcomes) > 5


def test_a_seed_is_the_same_run_every_time_and_in_every_process():
    seeds = [3, 80, 199, 1171]
    here = [simulate(seed).trace for seed in seeds]
    assert [simulate(seed).trace for seed in seeds] == here
    assert len(set(here)) == len(seeds)
    for hash_seed in ("1", "2"):
        elsewhere = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from tests.simulation.world import simulate; print(*(simulate(n).trace for n in {seeds}))",
            ],
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert elsewhere.stdout.split() == here


@pytest.mark.parametrize("name", MUTANTS)
def test_the_naive_variant_is_caught(name):
    def play():
        for seed in range(ENOUGH_TO_CATCH_A_MUTANT):
            simulate(seed, MUTANTS[name])

    with pytest.raises(Wrong, match=f"--seed [0-9]+ --variant {name}"):
        play()


def test_a_loop_in_which_nothing_can_happen_any_more_says_so():
    async def wait_for_ever():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="everybody waits"):
        SimulatedLoop().run(wait_for_ever())


def test_virtual_time_passes_at_once_and_in_order():
    order = []

    async def later(seconds):
        await asyncio.sleep(seconds)
        order.append((seconds, asyncio.get_running_loop().time()))

    async def main():
        await asyncio.gather(later(3600), later(60), later(0))

    SimulatedLoop().run(main())
    assert order == [(0, 0), (60, 60), (3600, 3600)]

"""The same faults in memory, where it takes a second: what the emulator proves once more."""

import pytest

from shared.documents.memory import MemoryDocuments
from tests.checker import Wrong
from tests.faults.crashes import Fault, Journey, Process, begun, count_operations, play
from tests.mutants import MUTANTS
from tests.simulation.loop import SimulatedLoop


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("step", Journey.STEPS)
def test_no_fault_at_any_operation_can_be_told_afterwards(step, fault):
    beginning = SimulatedLoop().run(begun(MemoryDocuments(), step))
    for number in range(SimulatedLoop().run(count_operations(MemoryDocuments(), beginning))):
        process = Process(fault, number)
        try:
            SimulatedLoop().run(play(MemoryDocuments(), beginning, process))
        except Wrong as wrong:
            wrong.add_note(f"{fault.value} {process.operations[number]}, operation {number} of {step}")
            raise
        assert process.met


@pytest.mark.parametrize("name", [name for name in MUTANTS if name.startswith("erased-")])
def test_a_naive_way_of_erasing_is_caught(name):
    def search():
        beginning = SimulatedLoop().run(begun(MemoryDocuments(), "erase", MUTANTS[name]))
        for number in range(SimulatedLoop().run(count_operations(MemoryDocuments(), beginning))):
            SimulatedLoop().run(play(MemoryDocuments(), beginning, Process(Fault.KILLED_AFTER, number)))

    with pytest.raises(Wrong):
        search()

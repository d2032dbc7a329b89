"""What a worker remembers of shards is bounded by the memory that they take."""

import gc
import tracemalloc
from random import Random

import pytest

from shared.learning.answers import AnswerSubmitted
from shared.learning.assignments import Grading, GradingPolicy
from shared.learning.registers import Registers
from shared.learning.sharding import WHOLE
from shared.ledger.remembered import Remembered
from shared.ledger.shards import ShardState
from tests.simulation import forms

_FORM = forms.make("exam", 6, GradingPolicy())
GRADING = Grading.of(_FORM.assignment, _FORM.keys)


def state(answers=0):
    registers = Registers(GRADING)
    registers.events = answers
    return ShardState(WHOLE, registers, 0, "", 0, None)


SIZE = state().memory_bytes


def key(number):
    return f"exam-{number}", WHOLE


def test_what_was_used_longest_ago_is_forgotten_first():
    remembered = Remembered(3 * SIZE)
    for number in range(3):
        remembered.keep(key(number), state())
    first = remembered.take(key(0))
    assert remembered.take(key(0)) is None
    remembered.keep(key(0), first)
    remembered.keep(key(3), state())
    assert list(remembered) == [key(2), key(0), key(3)]
    assert remembered.get(key(0)) is first
    assert remembered.get(key(1)) is None


def test_what_has_grown_takes_the_place_of_others():
    remembered = Remembered(3 * SIZE)
    for number in range(3):
        remembered.keep(key(number), state())
    remembered.keep(key(0), state(answers=1))
    assert list(remembered) == [key(2), key(0)]
    remembered.keep(key(0), state())
    remembered.keep(key(1), state())
    assert list(remembered) == [key(2), key(0), key(1)]


def test_what_is_larger_than_the_room_is_not_kept():
    remembered = Remembered(3 * SIZE)
    remembered.keep(key(0), state())
    remembered.keep(key(1), state(answers=1000))
    assert list(remembered) == []
    remembered.keep(key(0), state())
    assert list(remembered) == [key(0)]


def _answers(count, per_student):
    rng, questions = Random(1), sorted(GRADING.index)
    for number in range(count):
        question = questions[number % per_student]
        answer = forms.some_answer(rng, question)
        student = f"student-{number // per_student:010}"
        yield AnswerSubmitted("exam", question, student, f"submission-{number}", answer, number, "function")


@pytest.mark.parametrize("per_student", [1, 6])
def test_the_memory_of_a_shard_is_reckoned_about_right(per_student):
    made = ShardState(WHOLE, Registers(GRADING), 0, "", 0, None)
    made.registers.fold(_answers(60, per_student))
    gc.collect()
    tracemalloc.start()
    try:
        made.registers = Registers(GRADING)
        folded = made.registers.fold(_answers(2000, per_student))
        assert len(folded.applied) == 2000
        del folded
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.6 < taken / made.memory_bytes < 1.1

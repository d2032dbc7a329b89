"""Grades are remembered where classes answer alike, and take a bounded memory over all forms."""

import pytest

from shared.learning import assignments
from shared.learning.answers import canonical
from shared.learning.assignments import Grading, GradingPolicy
from tests.simulation import forms

FORM = forms.make("exam", len(forms.ANSWERS), GradingPolicy())
WORD = list(forms.ANSWERS).index("word")
ESSAY = list(forms.ANSWERS).index("essay")


class Counted:
    """A form's grading, and how often it looked at an answer."""

    def __init__(self):
        self.grading = Grading.of(FORM.assignment, FORM.keys)
        self.times = 0
        self.grading.graders = tuple(map(self._counting, self.grading.graders))

    def _counting(self, grader):
        def count(response):
            self.times += 1
            return grader(response)

        return count

    def grade(self, question, text):
        return self.grading.grade(question, canonical({"text": text}))


def test_an_answer_that_many_give_is_graded_once():
    counted = Counted()
    grades = {counted.grade(WORD, "four") for _ in range(100)}
    assert len(grades) == counted.times == 1
    assert counted.grade(WORD, "five") not in grades


def test_forms_do_not_take_each_others_grades():
    first, second = Counted(), Counted()
    first.grade(WORD, "four")
    second.grade(WORD, "four")
    assert first.times == second.times == 1


@pytest.mark.parametrize(("question", "text"), [(ESSAY, "short"), (ESSAY, "e" * 13_000), (WORD, "w" * 300)])
def test_what_is_graded_later_or_long_is_not_kept(question, text):
    counted = Counted()
    assert counted.grade(question, text) == counted.grade(question, text)
    assert counted.times == 2


def test_what_is_remembered_is_bounded_over_all_forms():
    first, second = Counted(), Counted()
    most = assignments._REMEMBERED_GRADES
    for number in range(most // 2):
        first.grade(WORD, str(number))
        second.grade(WORD, str(number))
    times = first.times
    second.grade(WORD, "one more")
    first.grade(WORD, "0")
    assert first.times == times + 1
    second.grade(WORD, "one more")
    assert second.times == most // 2 + 1

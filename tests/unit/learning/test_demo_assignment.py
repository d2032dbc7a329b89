"""The question set that a new user sees first."""

from pathlib import Path

from shared.learning.grading import compile_grader
from shared.learning.importing.parsing import parse
from shared.learning.questions import FULL_CREDIT, QuestionType
from shared.learning.responses import NumberResponse, TextResponse

SOURCE = Path(__file__).parents[3] / "local" / "demo" / "demo_assignment.gift"
IMPORTED = parse(SOURCE.read_text(encoding="utf-8"), "gift", seed="demo")
BY_NAME = {each.question.name: each for each in IMPORTED.questions}


def credit(name, response):
    asked = BY_NAME[name]
    return compile_grader(asked.question, asked.answer_key)(response).credit


def test_it_has_every_type_of_question_and_leaves_nothing_out():
    assert {each.question.type for each in IMPORTED.questions} == set(QuestionType)
    assert IMPORTED.skipped == ()
    assert len(BY_NAME) == len(IMPORTED.questions)


def test_it_rewards_near_misses():
    assert credit("Sunlight", NumberResponse(number=8.32)) == FULL_CREDIT
    assert credit("Sunlight", NumberResponse(number=9)) == FULL_CREDIT // 2
    assert credit("Axial tilt", NumberResponse(number=23)) == FULL_CREDIT // 2
    assert credit("Our galaxy", TextResponse(text="the  MILKY way")) == FULL_CREDIT
    assert credit("Our galaxy", TextResponse(text="שְׁבִיל הֶחָלָב")) == FULL_CREDIT
    assert credit("הירח הגדול של צדק", TextResponse(text="קליסטו")) == FULL_CREDIT // 4

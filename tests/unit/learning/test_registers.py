"""Folding does not depend on order or repetition, and its sums are those of a batch computation."""

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.learning import item_analysis
from shared.learning.answers import AnswerSubmitted
from shared.learning.assignments import Assignment, Grading, GradingPolicy
from shared.learning.attempts import AttemptsPolicy
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    ChoiceKey,
    ManualKey,
    Option,
    Outcome,
    Question,
    QuestionType,
    RichText,
)
from shared.learning.registers import MAX_ATTEMPTS_KEPT, Registers
from shared.learning.sharding import WHOLE

CREDITS = {"a": FULL_CREDIT, "b": 0, "c": FULL_CREDIT // 2, "d": -FULL_CREDIT // 4}
WEIGHTS = ("1", "2.5", "0.125")


def grading(policy=AttemptsPolicy.LAST, max_attempts=None):
    text = RichText(text="?")
    questions = [
        Question(
            question_id=f"q{n}",
            type=QuestionType.SINGLE_CHOICE,
            name=f"q{n}",
            text=text,
            weight=weight,
            options=tuple(Option(option_id=each, text=text) for each in CREDITS),
        )
        for n, weight in enumerate(WEIGHTS)
    ]
    questions.append(Question(question_id="essay", type=QuestionType.ESSAY, name="e", text=text))
    questions.append(Question(question_id="told", type=QuestionType.DESCRIPTION, name="d", text=text))
    keys = {
        f"q{n}": AnswerKey(
            question_id=f"q{n}", key=ChoiceKey(options={k: Outcome(credit=v) for k, v in CREDITS.items()})
        )
        for n in range(len(WEIGHTS))
    }
    keys["essay"] = AnswerKey(question_id="essay", key=ManualKey())
    assignment = Assignment(
        assignment_id="a1",
        course_id="c1",
        title="t",
        policy=GradingPolicy(attempts=policy, max_attempts=max_attempts),
        questions=tuple(questions),
    )
    return Grading.of(assignment, keys)


def event(student, question, option, at, submission):
    answer = '{"text":"…"}' if question == "essay" else f'{{"optionId":"{option}"}}'
    return AnswerSubmitted("a1", question, student, submission, answer, at, "function")


events = st.lists(
    st.builds(
        event,
        st.sampled_from(["ann", "bob", "cid", "dee"]),
        st.sampled_from(["q0", "q1", "q2", "essay"]),
        st.sampled_from(sorted(CREDITS)),
        st.integers(0, 5),
        st.sampled_from([f"s{n}" for n in range(9)]),
    ),
    unique_by=lambda each: each.event_id,
    max_size=60,
)
policies = st.sampled_from(list(AttemptsPolicy))


@given(events, policies, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_repetition_change_nothing(batch, policy, chance, parts):
    straight = Registers(grading(policy))
    straight.fold(batch)

    shuffled = batch * 2
    chance.shuffle(shuffled)
    other = Registers(grading(policy))
    applied = 0
    for start in range(parts):
        applied += len(other.fold(shuffled[start::parts]).applied)

    assert applied == len(batch)
    assert other.encode() == straight.encode()
    assert other.sums.encode() == straight.sums.encode()


@given(events, policies, st.one_of(st.none(), st.integers(1, 3)))
def test_a_page_reads_back_with_equal_sums(batch, policy, most):
    registers = Registers(grading(policy, most))
    registers.fold(batch)
    again = Registers.decode(registers.encode(), registers.grading)
    assert again.encode() == registers.encode()
    assert again.sums.encode() == registers.sums.encode()
    assert again.events == registers.events == len(batch)


@given(events, st.integers(1, 3))
def test_parts_add_up_to_the_whole(batch, bits):
    whole = Registers(grading())
    whole.fold(batch)
    total = whole.sums.encode()
    page = whole.encode()
    parts = list(Registers.decode(page, whole.grading).parts(WHOLE.split(bits)))
    for part in parts:
        part.recount()
    assert sum(part.events for part in parts) == len(batch)
    assert item_analysis.add(part.sums for part in parts).encode() == total


def batch_figures(batch, policy):
    """The same figures from the raw answers, the way a statistics book computes them."""
    attempts = {}
    for each in sorted(batch, key=lambda e: (e.submitted_at, e.event_id)):
        attempts.setdefault((each.student_id, each.question_id), []).append(each)
    score = {}
    for place, several in attempts.items():
        if place[1] == "essay":
            score[place] = None
            continue
        earned = [Fraction(CREDITS[each.answer.split('"')[3]], FULL_CREDIT) for each in several]
        picked = {
            AttemptsPolicy.LAST: earned[-1],
            AttemptsPolicy.FIRST: earned[0],
            AttemptsPolicy.BEST: max(earned),
        }
        score[place] = picked[policy] * Fraction(WEIGHTS[int(place[1][1])])
    return score


@given(events, policies)
def test_figures_equal_those_of_a_batch_computation(batch, policy):
    registers = Registers(grading(policy))
    registers.fold(batch)
    figures = item_analysis.statistics(registers.sums, registers.grading.questions)
    score = batch_figures(batch, policy)
    students = sorted({student for student, _ in score})
    items = ["q0", "q1", "q2"]
    complete = [s for s in students if all((s, q) in score for q in items)]

    assert figures.students == len(students)
    assert figures.answers == len(score)
    assert figures.reliability.students == len(complete)
    for n, q in enumerate(items):
        earned = [score[s, q] for s in students if (s, q) in score]
        found = figures.questions[q]
        assert found.answered == len(earned)
        assert sum(found.options.values()) == len(earned)
        if earned:
            mean = sum(earned) / len(earned) / Fraction(WEIGHTS[n])
            assert found.facility == pytest.approx(float(mean), abs=1e-12)
        else:
            assert found.facility is None
        own = [float(score[s, q]) for s in complete]
        rest = [float(sum(score[s, other] for other in items if other != q)) for s in complete]
        if len(set(own)) > 1 and len(set(rest)) > 1:
            assert found.discrimination == pytest.approx(statistics.correlation(own, rest), abs=1e-9)
        else:
            assert found.discrimination is None
    totals = [float(sum(score[s, q] for q in items)) for s in complete]
    if len(set(totals)) > 1:
        variances = sum(statistics.pvariance([float(score[s, q]) for s in complete]) for q in items)
        expected = 3 / 2 * (1 - variances / statistics.pvariance(totals))
        assert figures.reliability.alpha == pytest.approx(expected, abs=1e-9)
    else:
        assert figures.reliability.alpha is None
    assert figures.questions["essay"].facility is None


@pytest.mark.parametrize(
    ("question", "answer", "assignment"),
    [
        ("q9", '{"optionId":"a"}', "a1"),
        ("told", '{"text":"x"}', "a1"),
        ("q0", '{"optionId":"z"}', "a1"),
        ("q0", '{"number":1}', "a1"),
        ("q0", "not json", "a1"),
        ("q0", '{"optionId":"a"}', "a2"),
    ],
)
def test_what_cannot_be_graded_is_refused_and_leaves_no_trace(question, answer, assignment):
    registers = Registers(grading())
    odd = AnswerSubmitted(assignment, question, "ann", "s1", answer, 1, "browser")
    folded = registers.fold([odd, event("bob", "q0", "a", 1, "s1")])
    assert [each.event for each in folded.refused] == [odd]
    assert list(registers.rows) == ["bob"]
    assert registers.sums.students == 1


def test_a_register_is_bounded():
    registers = Registers(grading())
    folded = registers.fold(event("ann", "q0", "a", n, f"s{n}") for n in range(MAX_ATTEMPTS_KEPT + 5))
    assert len(folded.applied) == MAX_ATTEMPTS_KEPT
    assert len(folded.refused) == 5


def test_attempts_beyond_the_limit_do_not_count():
    registers = Registers(grading(AttemptsPolicy.LAST, max_attempts=2))
    registers.fold(event("ann", "q0", option, at, f"s{at}") for at, option in enumerate("bca"))
    figures = item_analysis.statistics(registers.sums, registers.grading.questions)
    assert figures.questions["q0"].facility == 0.5


@pytest.mark.parametrize("size", [0, 7, 2**63 - 1, 2**63, 2**64, 10**40])
def test_sums_of_any_size_are_whole_numbers_in_one_text(size):
    sums = item_analysis.Sums(
        3, 5, 2, size, -size, [item_analysis.ItemSums(5, 5, 2, size, 1, size, -size, [1, size])]
    )
    text = sums.encode()
    assert text == f"[[3,5,2,{size},{-size}],[[5,5,2,{size},1,{size},{-size},[1,{size}]]]]"
    assert item_analysis.Sums.decode(text) == sums
    total = item_analysis.add([sums, sums])
    assert total.items[0].options == [2, 2 * size]
    assert sums.items[0].options == [1, size]

"""Redaction, the learner context, agreement, and what is believed of a model's reply."""

import json
import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tutoring import evaluating, generating
from shared.tutoring.agreement import MILLION, Decided, agreement, by_criterion
from shared.tutoring.context import MAX_BYTES, LearnerContext, size_of, with_evaluation
from shared.tutoring.evaluating import Task, quoted, read, without_answer
from shared.tutoring.injection import suspicious
from shared.tutoring.languages import direction_of, language_of
from shared.tutoring.leak_guard import secrets_of
from shared.tutoring.redaction import redacted
from shared.tutoring.replies import Unusable
from tests.tutoring import ANSWER
from tests.unit.tutoring.golden import RUBRIC, questions


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Write to dana.levi+school@mail.example.co.il!", "Write to [email]!"),
        ("dana (at) school (dot) example", "[email]"),
        ("Call 052-123-4567 or +972 52 123 45 67.", "Call [phone] or [phone]."),
        ("(212) 555-0187", "[phone]"),
        ("My id is 123456782", "My id is [number]"),
        ("ת.ז. 12345", "ת.ז. [number]"),
        ("passport no: AB123456", "passport no: [number]"),
        ("4111 1111 1111 1111", "[number]"),
        (
            "born in 1822, pi is 3.14159265, 6 000 000 people",
            "born in 1822, pi is 3.14159265, 6 000 000 people",
        ),
        ("12345678 grams", "12345678 grams"),
    ],
)
def test_what_says_who_somebody_is_is_taken_out(text, kept):
    assert redacted(text).text == kept
    assert (redacted(text).found > 0) == (text != kept)


@pytest.mark.parametrize(
    "part",
    [
        " ",
        "id ",
        "id\n",
        "\n",
        "\t",
        "0 ",
        "a.",
        "a@",
        "+1 ",
        "https://a?",
        "![",
        "<|",
        "AAAA",
        "ignore ",
        "a-",
        "כל ",
    ],
)
def test_no_text_keeps_the_others_waiting(part):
    """As long as an answer may be, and made of what patterns may try in many ways: hours, if one of them did."""
    for text in (part * (16_384 // len(part)), "id" + part * (16_384 // len(part)) + "x"):
        began = time.process_time()
        redacted(text)
        suspicious(text)
        assert time.process_time() - began < 5, repr(part)


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["What?"], "en"),
        (["מה?"], "he"),
        (["ما؟"], "ar"),
        (["2 + 2", "כמה"], "he"),
        (["x = 1 מה הערך של"], "he"),
    ],
)
def test_a_language_is_told_by_its_letters(texts, language):
    assert language_of(*texts) == language
    assert direction_of(language) == ("ltr" if language == "en" else "rtl")


class TestContext:
    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 1000), st.lists(st.text(max_size=120), max_size=3)), max_size=60)
    )
    def test_it_never_outgrows_its_bounds(self, evaluations):
        context = LearnerContext()
        for number, (per_mille, patterns) in enumerate(evaluations):
            context = with_evaluation(
                context, evaluation_id=f"{number:064x}", per_mille=per_mille, patterns=patterns
            )
        assert size_of(context) <= MAX_BYTES
        assert len(context.error_patterns) <= 10
        assert len(context.recent_scores) == min(len(evaluations), 5)

    def test_a_new_pattern_finds_a_place_among_ten_frequent_ones(self):
        context = LearnerContext()
        for number in range(30):
            patterns = [f"pattern {number % 10}"]
            context = with_evaluation(context, evaluation_id=f"{number:064x}", per_mille=0, patterns=patterns)
        context = with_evaluation(context, evaluation_id="f" * 64, per_mille=0, patterns=["a new one"])
        kept = [each.pattern for each in context.error_patterns]
        assert len(kept) == 10
        assert kept[-1] == "a new one"

    def test_the_same_evaluation_twice_counts_once(self):
        once = with_evaluation(LearnerContext(), evaluation_id="a" * 64, per_mille=500, patterns=["x"])
        assert with_evaluation(once, evaluation_id="a" * 64, per_mille=500, patterns=["x"]) == once

    @pytest.mark.parametrize(
        ("per_mille", "level"),
        [(399, "beginner"), (400, "intermediate"), (749, "intermediate"), (750, "advanced")],
    )
    def test_the_level_follows_from_the_last_five_scores(self, per_mille, level):
        context = LearnerContext()
        for number in range(6):
            context = with_evaluation(
                context,
                evaluation_id=f"{number:064x}",
                per_mille=0 if number == 0 else per_mille,
                patterns=[],
            )
        assert context.level == level


class TestAgreement:
    def test_kappa_is_that_of_the_definition(self):
        rng = random.Random(5)
        for _ in range(50):
            pairs = [(rng.randint(0, 6), rng.randint(0, 6)) for _ in range(rng.randint(2, 40))]
            n = len(pairs)
            observed = sum((a - b) ** 2 for a, b in pairs) / n
            expected = sum((a - b) ** 2 for a, _ in pairs for _, b in pairs) / n**2
            found = agreement(pairs)
            if expected == 0:
                assert found.kappa_millionths is None
            else:
                assert found.kappa_millionths == pytest.approx((1 - observed / expected) * MILLION, abs=1.01)

    def test_the_edges(self):
        assert agreement([]).kappa_millionths is None
        assert agreement([(2, 2), (2, 2)]).kappa_millionths is None
        assert agreement([(0, 0), (4, 4)]).kappa_millionths == MILLION
        assert agreement([(0, 4), (4, 0)]).kappa_millionths == -MILLION

    def test_criteria_are_compared_each_by_itself(self):
        found = by_criterion(
            [Decided({"a": 1, "b": 0}, {"a": 1, "b": 2}), Decided({"a": 3}, {"a": 3, "c": 1})]
        )
        assert {name: (each.count, each.exact) for name, each in found.items()} == {"a": (2, 2), "b": (1, 0)}


TASK = Task(questions()["Sky"].question, questions()["Sky"].answer_key, ANSWER, LearnerContext())
IDS = [each.criterion_id for each in TASK.rubric]


def reply(*, points=1, evidence=(), ids=IDS, **fields):
    criteria = {each: {"points": points, "evidence": list(evidence), "comment": "Fine."} for each in ids}
    value = {
        "criteria": criteria,
        "feedback": "Good.",
        "errorPatterns": [],
        "confidence": 80,
        "suspicious": False,
    }
    return json.dumps({**value, **fields})


class TestReading:
    @pytest.mark.parametrize(
        ("points", "sum_of_points"), [(10**9, 10), (-5, 0), (1e300, 10), (-math.inf, None), (2.4, 6), (3, 8)]
    )
    def test_the_score_is_clamped_and_summed_here(self, points, sum_of_points):
        if sum_of_points is None:
            with pytest.raises(Unusable):
                read(reply(points=points), TASK)
            return
        judgement = read(reply(points=points, score=10**9), TASK)
        assert judgement.points == sum_of_points
        assert judgement.max_points == 10

    @pytest.mark.parametrize("points", ["NaN", "null", '"10"', "true", "[]", "{}"])
    def test_points_that_are_no_number_are_not_believed(self, points):
        with pytest.raises(Unusable):
            read(reply().replace('"points": 1', f'"points": {points}'), TASK)

    def test_only_passages_of_the_answer_are_evidence(self):
        given = ["Blue light has  a shorter", "The teacher said so", "", 5, "scattered more strongly"]
        judgement = read(reply(evidence=given), TASK)
        assert judgement.criteria[0].evidence == ("Blue light has a shorter", "scattered more strongly")
        assert "unsupported" not in judgement.flags
        assert "unsupported" in read(reply(evidence=["made up"]), TASK).flags

    def test_a_quotation_is_found_however_its_letters_are_composed(self):
        assert quoted(["cafe\u0301"], "un café noir") == ("café",)

    def test_other_criteria_are_ignored_and_missing_ones_refused(self):
        assert read(reply(ids=[*IDS, "charm", "../x"]), TASK).max_points == 10
        with pytest.raises(Unusable):
            read(reply(ids=IDS[:2]), TASK)

    @pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"a":', "x" * 5_000_000, "[" * 100_000])
    def test_what_is_no_object_is_unusable(self, text):
        with pytest.raises(Unusable):
            read(text, TASK)

    def test_a_rubric_of_its_own_is_the_schema(self):
        keyed = questions(RUBRIC, "json")["Photosynthesis"]
        rubric = evaluating.rubric_of(keyed.answer_key)
        assert [(each.criterion_id, each.title, each.max_points) for each in rubric] == [
            ("c1", "Inputs", 3),
            ("c2", "Outputs", 4),
        ]
        criteria = evaluating.schema(rubric)["properties"]["criteria"]
        assert (list(criteria["properties"]), criteria["required"]) == (["c1", "c2"], ["c1", "c2"])
        other = evaluating.evaluation_id("e" * 64, evaluating.DEFAULT_RUBRIC)
        assert evaluating.evaluation_id("e" * 64, rubric) != other

    def test_notes_for_graders_are_not_quoted_to_learners(self):
        keyed = questions(RUBRIC, "json")["Photosynthesis"]
        task = Task(keyed.question, keyed.answer_key, "Plants grow.", LearnerContext())
        secrets = secrets_of(keyed.question, keyed.answer_key)
        told = reply(ids=["c1", "c2"], feedback="It is light, water, carbon dioxide.")
        withheld = without_answer(read(told, task), secrets, task)
        assert "answerWithheld" in withheld.flags
        assert "dioxide" not in withheld.feedback
        kept = read(reply(ids=["c1", "c2"]), task)
        assert without_answer(kept, secrets, task) == kept

    def test_suspicion_lowers_confidence(self):
        assert read(reply(suspicious=True), TASK).confidence == 20
        assert read(reply(confidence=10**6), TASK).confidence == 100


class TestGenerating:
    STEP = {"title": "T", "kind": "dance", "objective": "O"}  # noqa: RUF012  nobody changes it
    LESSON = {"title": "<b>L</b>", "objectives": ["Do."], "steps": [STEP] * 9}  # noqa: RUF012  nobody changes it

    def test_a_skeleton_is_bounded_and_plain(self):
        value = {"title": "[C](http://x.example)", "summary": "S", "lessons": [self.LESSON] * 50, "more": 1}
        skeleton = generating.read_skeleton(json.dumps(value), lesson_count=3)
        assert (skeleton.title, len(skeleton.lessons)) == ("C", 3)
        assert (skeleton.lessons[0].title, len(skeleton.lessons[0].steps)) == ("L", 5)
        assert skeleton.lessons[0].steps[0].kind == "read"

    @pytest.mark.parametrize(
        "value",
        [{}, {"title": "", "summary": "", "lessons": []}, {"title": "T", "lessons": [{}]}, {"lessons": 5}],
    )
    def test_what_is_no_skeleton_is_unusable(self, value):
        with pytest.raises(Unusable):
            generating.read_skeleton(json.dumps(value), lesson_count=3)
        with pytest.raises(Unusable):
            generating.read_step(json.dumps(value))

    def test_a_version_is_that_of_the_content(self):
        value = {"title": "C", "summary": "S", "lessons": [self.LESSON]}
        one = generating.read_skeleton(json.dumps(value), lesson_count=3)
        two = generating.read_skeleton(json.dumps({**value, "title": "D"}), lesson_count=3)
        assert generating.skeleton_version(one) != generating.skeleton_version(two)

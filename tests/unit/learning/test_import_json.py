"""Questions in JSON: what they become, and where mistakes are reported."""

import json
from decimal import Decimal

import pytest

from shared.errors import InvalidRequest
from shared.learning.questions import QuestionType, TextFormat
from tests.unit.learning.authored import answers, imported, only, text_of


def one(**question):
    return only(json.dumps({"questions": [{"text": "?", **question}]}, ensure_ascii=False), "json")


def problems(source):
    with pytest.raises(InvalidRequest) as caught:
        imported(source, "json")
    return [(each["line"], each["column"], each["message"]) for each in caught.value.details]


class TestTypes:
    def test_single_choice_in_its_shortest_form(self):
        found = one(type="singleChoice", options=["Rome", "Paris"], correct="Paris")
        assert answers(found) == {"Rome": (0, None), "Paris": (100, None)}

    def test_single_choice_with_everything(self):
        options = [
            {"text": "a", "correct": True, "feedback": "yes"},
            {"text": "b", "credit": 33.33, "feedback": {"text": "<i>half</i>", "format": "html"}},
            {"text": "c", "credit": -100, "format": "markdown"},
        ]
        found = one(type="singleChoice", options=options)
        assert answers(found) == {
            "a": (100, "yes"),
            "b": (Decimal("33.33333"), "<i>half</i>"),
            "c": (-100, None),
        }
        assert {option.text.format for option in found.question.options} == {
            TextFormat.PLAIN,
            TextFormat.MARKDOWN,
        }

    def test_multiple_choice_shares_the_credit_and_charges_for_guessing(self):
        found = one(type="multipleChoice", options=["a", "b", "c", "d"], correct=["a", "d", "c"])
        share = Decimal("33.33333")
        assert found.question.type == QuestionType.MULTIPLE_CHOICE
        assert answers(found) == {
            "a": (share, None),
            "b": (-share, None),
            "c": (share, None),
            "d": (share, None),
        }

    def test_true_or_false(self):
        found = one(type="trueFalse", correct=False, feedbackRight="good", feedbackWrong="bad")
        assert answers(found) == (False, "good", "bad")

    def test_numeric(self):
        given_answers = [
            3.14,
            {"value": 3, "tolerance": 0.1, "credit": 50, "feedback": "nearly"},
            {"minimum": -1, "maximum": 0, "credit": 0},
        ]
        found = one(type="numeric", answers=given_answers, feedbackWrong="no")
        assert answers(found) == [
            (Decimal("3.14"), Decimal("3.14"), 100, None),
            (Decimal("2.9"), Decimal("3.1"), 50, "nearly"),
            (-1, 0, 0, None),
        ]
        assert text_of(found.answer_key.key.otherwise) == "no"

    def test_short_text(self):
        found = one(type="shortText", answers=["four", {"text": "f*", "credit": 10}], caseSensitive=True)
        assert answers(found) == [("four", 100, None), ("f*", 10, None)]
        assert found.answer_key.key.case_sensitive

    def test_matching(self):
        pairs = [{"left": "a", "right": "x"}, {"left": {"text": "b", "format": "html"}, "right": "y"}]
        found = one(type="matching", pairs=pairs, extraChoices=["z", "x"])
        assert answers(found) == ([("a", "x"), ("b", "y")], {"z"})

    def test_essay_and_description(self):
        assert text_of(one(type="essay", notes="look for x").answer_key.key.notes) == "look for x"
        assert one(type="description").question.type == QuestionType.DESCRIPTION

    def test_what_every_type_may_have(self):
        found = one(
            type="essay",
            name=" A  name ",
            text="**?**",
            format="markdown",
            category="A/B",
            weight=2.5,
            generalFeedback="Well",
        )
        assert found.question.name == "A name"
        assert found.question.text.format == TextFormat.MARKDOWN
        assert found.question.category == "A/B"
        assert found.question.weight == Decimal("2.5")
        assert found.answer_key.general_feedback.format == TextFormat.MARKDOWN

    def test_list_of_questions_will_do(self):
        found = imported('[{"type": "essay", "text": "a"}, {"type": "essay", "text": "b"}]', "json").questions
        assert [each.question.text.text for each in found] == ["a", "b"]

    def test_escapes_are_read(self):
        source = r'[{"type": "essay", "text": "\u05e9\u05dc\u05d5\u05dd \ud83d\ude00 \"q\"\n\\"}]'
        assert only(source, "json").question.text.text == 'שלום 😀 "q"\n\\'


class TestMistakes:
    @pytest.mark.parametrize(
        ("source", "line", "column", "fragment"),
        [
            ("", 1, 1, "not JSON"),
            ('{"questions": [\n  {"type": "essay",}\n]}', 2, 20, "not JSON"),
            ("[1, 2", 1, 6, "not JSON"),
            ("[" * 50_000, 1, 1, "nested too deeply"),
            ("3", 1, 1, "object"),
            ('{"questions": [], "quiz": []}', 1, 19, "'quiz'"),
            ('{"quiz": []}', 1, 1, "'questions' is missing"),
            ("[]", 1, 1, "no questions"),
            ('{"questions": []}', 1, 1, "no questions"),
            ('{"questions": 3}', 1, 15, "list"),
            ('[\n {"text": "q"}]', 2, 2, "'type' is missing"),
            ('[\n {"text": "q",\n  "type": "quiz"}]', 3, 11, "singleChoice"),
            ('[{"type": "essay"}]', 1, 2, "'text' is missing"),
            ('[{"type": "essay", "text": 3}]', 1, 28, "text"),
            ('[{"type": "essay", "text": ""}]', 1, 2, "no text"),
            ('[{"type": "essay", "text": {"text": "a", "format": "rtf"}}]', 1, 52, "markdown"),
            ('[{"type": "essay", "text": "a", "corect": 1}]', 1, 33, "'corect'"),
            ('[{"type": "essay", "text": "a", "type": "essay"}]', 1, 33, "twice"),
            ('[{"type": "essay", "text": "a", "weight": 0}]', 1, 43, "weight"),
            ('[{"type": "essay", "text": "a", "weight": 1e400}]', 1, 43, "1e400"),
            ('[{"type": "essay", "text": "a", "weight": NaN}]', 1, 43, "NaN"),
            ('[{"type": "essay", "text": "\\ud800"}]', 1, 28, "U+D800"),
            ('[{"type": "essay", "text": "a", "name": "%s"}]' % ("n" * 256), 1, 41, "255"),
            ('[{"type": "trueFalse", "text": "a", "correct": 1}]', 1, 48, "true or false"),
            ('[{"type": "singleChoice", "text": "a", "options": ["x"]}]', 1, 51, "at least 2"),
            (
                '[{"type": "singleChoice", "text": "a", "options": ["x", "y"]}]',
                1,
                2,
                "no answer earns credit",
            ),
            (
                '[{"type": "singleChoice", "text": "a", "options": ["x", "y"], "correct": "z"}]',
                1,
                74,
                "exactly one option",
            ),
            (
                '[{"type": "singleChoice", "text": "a", "options": ["x", "x"], "correct": ["x"]}]',
                1,
                75,
                "exactly one option",
            ),
            (
                '[{"type": "singleChoice", "text": "a",\n "options": ["x", {"text": "y", "credit": 101}]}]',
                2,
                43,
                "100",
            ),
            (
                '[{"type": "singleChoice", "text": "a", "options": ["x", " "], "correct": "x"}]',
                1,
                57,
                "empty",
            ),
            ('[{"type": "numeric", "text": "a", "answers": []}]', 1, 46, "at least 1"),
            ('[{"type": "numeric", "text": "a", "answers": ["3"]}]', 1, 47, "number"),
            ('[{"type": "numeric", "text": "a", "answers": [{"minimum": 3}]}]', 1, 47, "minimum and maximum"),
            ('[{"type": "numeric", "text": "a", "answers": [{"tolerance": 3}]}]', 1, 47, "value"),
            (
                '[{"type": "numeric", "text": "a", "answers": [{"value": 3, "tolerance": -1}]}]',
                1,
                73,
                "greater than",
            ),
            (
                '[{"type": "numeric", "text": "a", "answers": [{"minimum": 3, "maximum": 2}]}]',
                1,
                47,
                "greater than maximum",
            ),
            ('[{"type": "shortText", "text": "a", "answers": ["x", "\\u05b0"]}]', 1, 54, "empty"),
            (
                '[{"type": "matching", "text": "a", "pairs": [{"left": "x", "right": "y"}]}]',
                1,
                2,
                "two pairs",
            ),
            ('[{"type": "matching", "text": "a", "pairs": [{"left": "x"}]}]', 1, 46, "'right' is missing"),
        ],
    )
    def test_mistake_is_reported_at_its_value(self, source, line, column, fragment):
        found = problems(source)
        assert found[0][:2] == (line, column)
        assert fragment in found[0][2]

    def test_all_mistakes_are_reported_at_once(self):
        source = (
            '[\n{"type": "essay"},\n{"type": "quiz", "text": "q"},\n{"type": "essay", "text": "q", "x": 1}\n]'
        )
        assert [each[:2] for each in problems(source)] == [(2, 1), (3, 10), (4, 32)]

"""What holds for every format: ids, order, limits, and that bad input is refused politely."""

import json
import time
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, TooLarge
from shared.learning.grading import compile_grader
from shared.learning.importing.findings import MAX_PROBLEMS, UNREADABLE
from shared.learning.importing.parsing import MAX_SOURCE_BYTES
from shared.learning.questions import MAX_QUESTIONS, KeyedQuestion
from shared.learning.responses import OptionResponse
from tests.unit.learning.authored import answers, imported

CHOICE = "q {=right ~b ~c ~d ~e}"
MATCHING = "m {=a -> x =b -> y =c -> x = -> z}"
FORMS = ("gift", "csv", "json")


def attempt(source, form):
    """The questions of a source, or else what is wrong with it; anything but a refusal is a failure."""
    try:
        return imported(source, form).questions, ()
    except InvalidRequest as refused:
        return (), refused.details


class TestTheMostAnswers:
    SOURCES = (
        ("csv", "type,text,correct,feedbackwrong\ntext,Q?,{},nope\n", "|", "a"),
        ("gift", "Q {{a {}}}", " ", "=b"),
        ("gift", "Q {{#1000 {}}}", " ", "="),
    )

    @pytest.mark.parametrize(("form", "source", "between", "before"), SOURCES)
    def test_one_more_than_a_question_has_is_told_where(self, form, source, between, before):
        """One of them is not listed: what else is wrong, or the answer that no mark stands before."""
        listed = [f"{before}{number}" for number in range(60)]
        questions, problems = attempt(source.format(between.join(listed[:-1])), form)
        assert not problems
        assert len(questions) == 1
        _, problems = attempt(source.format(between.join(listed)), form)
        assert any("60 answers" in each["message"] for each in problems)


class TestIds:
    def test_equal_sources_and_seeds_give_equal_questions(self):
        assert imported(CHOICE, seed="s") == imported(CHOICE, seed="s")

    def test_another_seed_gives_other_ids_only(self):
        one, other = imported(MATCHING, seed="s"), imported(MATCHING, seed="t")
        assert one.questions[0].question.question_id != other.questions[0].question.question_id
        assert answers(one.questions[0]) == answers(other.questions[0])

    def test_ids_are_short_tokens_of_their_kind(self):
        question = imported(MATCHING).questions[0].question
        for prefix, found in (
            ("q", question.question_id),
            ("s", question.stems[0].stem_id),
            ("c", question.choices[0].choice_id),
            ("o", imported(CHOICE).questions[0].question.options[0].option_id),
        ):
            assert found[0] == prefix
            assert len(found) == 12
            assert found[1:].isalnum()

    def test_all_ids_of_a_large_set_differ(self):
        questions = imported("\n\n".join([CHOICE] * MAX_QUESTIONS)).questions
        found = Counter(each.question.question_id for each in questions)
        found.update(option.option_id for each in questions for option in each.question.options)
        assert len(found) == MAX_QUESTIONS * 6

    def test_place_of_the_right_option_tells_nothing(self):
        places = Counter(
            [
                option.text.text for option in imported(CHOICE, seed=str(seed)).questions[0].question.options
            ].index("right")
            for seed in range(1000)
        )
        assert all(140 < places[place] < 260 for place in range(5))

    def test_order_of_outcomes_in_the_key_tells_nothing(self):
        key = imported(CHOICE).questions[0].answer_key.key
        assert list(key.options) == sorted(key.options)

    def test_stems_keep_their_order_and_choices_are_sorted_by_id(self):
        question = imported(MATCHING).questions[0].question
        assert [stem.text.text for stem in question.stems] == ["a", "b", "c"]
        assert sorted(choice.text.text for choice in question.choices) == ["x", "y", "z"]
        ids = [choice.choice_id for choice in question.choices]
        assert ids == sorted(ids)

    def test_author_may_ask_for_the_authored_order(self):
        options = [str(number) for number in range(20)]
        sheet = [{"type": "singleChoice", "text": "?", "options": options, "correct": "3", "shuffle": False}]
        question = imported(json.dumps(sheet), "json").questions[0].question
        assert [option.text.text for option in question.options] == options


class TestLimits:
    def test_source_of_the_largest_size_is_read(self):
        source = "q {T}\n\n// "
        source += "x" * (MAX_SOURCE_BYTES - len(source))
        assert len(imported(source).questions) == 1

    @pytest.mark.parametrize("form", FORMS)
    def test_larger_source_is_refused(self, form):
        with pytest.raises(TooLarge):
            imported("א" * (MAX_SOURCE_BYTES // 2 + 1), form)

    def test_as_many_questions_as_allowed_are_read(self):
        assert len(imported("q {T}\n\n" * MAX_QUESTIONS).questions) == MAX_QUESTIONS

    @pytest.mark.parametrize(
        ("form", "source", "place"),
        [
            ("gift", "q {T}\n\n" * (MAX_QUESTIONS + 1), (2 * MAX_QUESTIONS + 1, 1)),
            ("csv", "type,text\n" + "essay,q\n" * (MAX_QUESTIONS + 1), (MAX_QUESTIONS + 2, 1)),
            ("json", json.dumps([{"type": "essay", "text": "q"}] * (MAX_QUESTIONS + 1)), (1, 1)),
        ],
    )
    def test_more_questions_are_refused(self, form, source, place):
        with pytest.raises(InvalidRequest, match="500") as caught:
            imported(source, form)
        assert (caught.value.details[0]["line"], caught.value.details[0]["column"]) == place

    def test_questions_that_do_not_fit_into_a_document_are_refused(self):
        block = "q {=a" + "~b" * 59 + "}\n\n"
        with pytest.raises(TooLarge, match="900 KiB"):
            imported(block * MAX_QUESTIONS)


ends = st.sampled_from(
    ["", "type,text,correct,option1,option2\n", "[", "{", '[{"type":"', "q {", "q {#", "\ufeff"]
)
control = st.text(st.sampled_from('~=#{}:%\\->*/$n[]",;|\n\r\t 1.aאT\u200f'), max_size=80)
words = st.lists(
    st.sampled_from(
        [
            *(
                "q",
                "{",
                "}",
                "=",
                "~",
                "#",
                "->",
                "%50%",
                "####",
                "::",
                "\n\n",
                "\\",
                "$CATEGORY: ",
                "[html]",
                "T",
            ),
            *(
                "type",
                "text",
                "correct",
                "option1",
                ",",
                "\n",
                '"',
                "single",
                "numeric",
                "matching",
                "1",
                "a",
            ),
            *(
                '{"questions":',
                "[",
                "]",
                ":",
                '"type"',
                '"singleChoice"',
                '"options"',
                '"text"',
                "1e999",
                "null",
            ),
        ]
    ),
    max_size=40,
).map("".join)


@pytest.mark.parametrize("form", FORMS)
@given(start=ends, body=st.one_of(st.text(), control, words))
@example(start="", body="\ud800")
@example(start="", body='"\\ud800"')
@example(start="", body="[" * 100_000)
@example(start="", body='{"a":' * 100_000)
@example(start="", body="[1e99999999999999999999]")
@example(start="", body="[" + "9" * 10_000 + "]")
@example(start="", body="[NaN, Infinity]")
@example(start="", body="")
def test_any_text_is_read_or_refused_with_places(form, start, body):
    source = start + body
    result, details = attempt(source, form)
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for each in details:
        assert set(each) == {"line", "column", "message"}
        assert 1 <= each["line"] <= len(lines)
        assert 1 <= each["column"] <= len(lines[each["line"] - 1]) + 1
        assert each["message"]
    assert bool(result) != bool(details)
    for each in result:
        assert not UNREADABLE.search(str(each))
        assert KeyedQuestion.model_validate_json(each.model_dump_json()) == each
        compile_grader(each.question, each.answer_key)(OptionResponse(option_id="none"))


GIFT_UNITS = [
    "{",
    "}",
    "~",
    "=",
    "#",
    "*a",
    "=*a",
    "{~",
    "\\",
    "//x\n",
    "::",
    " ",
    "\n",
    "%5",
    "->",
    "q{=a ~b\n\n",
]
GIFT_UNITS += [
    "{\n\n",
    "q {T}\n\n",
    "####",
    "[html]",
    "$CATEGORY: x\n",
    "<",
    "\u200f",
    "~%5O%a",
    "\\~",
    "q{>\n}\n\n",
]
CSV_UNITS = [",", '"', '""', '","', "\n", ",\n", "a,", "text\t", "essay,q,\n", "single,q,1,", "1|", " "]
JSON_UNITS = ["[", "{", '{"a":', "1,", '"a",', '{"type":"essay"},', "\\", "[],", '"a":1,', " "]


@pytest.mark.parametrize(
    ("form", "unit", "frame"),
    [
        *(("gift", unit, frame) for unit in GIFT_UNITS for frame in ("%s", "q {=%s}")),
        *(("csv", unit, frame) for unit in CSV_UNITS for frame in ("%s", "type,text,correct\ntext,q,%s")),
        *(("json", unit, frame) for unit in JSON_UNITS for frame in ("%s", "[%s1]")),
    ],
)
def test_hostile_source_takes_seconds_at_most(form, unit, frame):
    source = frame.replace("%s", unit * (400 * 1024 // len(unit.encode())))
    began = time.process_time()
    result, details = attempt(source, form)
    assert time.process_time() - began < 6
    assert bool(result) != bool(details)
    assert len(details) <= MAX_PROBLEMS + 1

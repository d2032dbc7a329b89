"""What responses earn, and what learners are told about them."""

import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.learning import grading
from shared.learning.grading import FALSE_CODE, TRUE_CODE, Grade, compile_grader
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    Choice,
    ChoiceKey,
    ManualKey,
    MatchingKey,
    NumericKey,
    NumericRange,
    Option,
    Outcome,
    Question,
    QuestionType,
    RichText,
    ShortTextKey,
    Stem,
    TextPattern,
    TrueFalseKey,
)
from shared.learning.responses import (
    NumberResponse,
    OptionResponse,
    OptionsResponse,
    PairsResponse,
    TextResponse,
    TruthResponse,
)

PERCENT = FULL_CREDIT // 100


def feedback_for(asked, answer_key, response):
    code = compile_grader(asked, answer_key)(response).response_code
    return grading.feedback_for(asked, answer_key, code)


def rich(text):
    return RichText(text=text)


def question(kind, **parts):
    return Question(question_id="q1", type=kind, name="A question", text=rich("?"), **parts)


def key(part, general=None):
    return AnswerKey(question_id="q1", key=part, general_feedback=general and rich(general))


def choice(kind, credit_by_id):
    options = tuple(Option(option_id=each, text=rich(each)) for each in credit_by_id)
    outcomes = {
        each: Outcome(credit=credit, feedback=rich(f"about {each}")) for each, credit in credit_by_id.items()
    }
    return question(kind, options=options), key(ChoiceKey(options=outcomes), "in general")


def numeric(*ranges, otherwise=None):
    made = tuple(
        NumericRange(
            minimum=Decimal(low), maximum=Decimal(high), credit=credit, feedback=rich(f"{low} to {high}")
        )
        for low, high, credit in ranges
    )
    otherwise = otherwise and rich(otherwise)
    return question(QuestionType.NUMERIC), key(NumericKey(ranges=made, otherwise=otherwise))


def short_text(*patterns, case_sensitive=False):
    made = tuple(
        TextPattern(pattern=pattern, credit=credit, feedback=rich(pattern)) for pattern, credit in patterns
    )
    return question(QuestionType.SHORT_TEXT), key(ShortTextKey(patterns=made, case_sensitive=case_sensitive))


def matching(pairs, spare=()):
    stems = tuple(Stem(stem_id=each, text=rich(each)) for each in pairs)
    choices = tuple(Choice(choice_id=each, text=rich(each)) for each in {**dict.fromkeys(pairs.values())})
    choices += tuple(Choice(choice_id=each, text=rich(each)) for each in spare)
    return question(QuestionType.MATCHING, stems=stems, choices=choices), key(MatchingKey(pairs=pairs))


EVERY_TYPE = {
    "single": choice(QuestionType.SINGLE_CHOICE, {"a": FULL_CREDIT, "b": -FULL_CREDIT, "c": 0}),
    "multiple": choice(QuestionType.MULTIPLE_CHOICE, {"a": FULL_CREDIT, "b": -FULL_CREDIT, "c": FULL_CREDIT}),
    "truth": (question(QuestionType.TRUE_FALSE), key(TrueFalseKey(value=True))),
    "numeric": numeric(("1", "2", FULL_CREDIT)),
    "text": short_text(("a*b", FULL_CREDIT), ("*", -PERCENT)),
    "matching": matching({"s": "c", "t": "d", "u": "c"}),
    "essay": (question(QuestionType.ESSAY), key(ManualKey())),
    "description": (question(QuestionType.DESCRIPTION), key(ManualKey())),
}


class TestSingleChoice:
    asked = choice(
        QuestionType.SINGLE_CHOICE, {"a": 0, "b": FULL_CREDIT, "c": 50 * PERCENT, "d": -25 * PERCENT}
    )

    @pytest.mark.parametrize(
        ("option_id", "expected"),
        [
            ("a", Grade(0, 0b1)),
            ("b", Grade(FULL_CREDIT, 0b10)),
            ("c", Grade(50 * PERCENT, 0b100)),
            ("d", Grade(-25 * PERCENT, 0b1000)),
            ("unknown", Grade(0, 0)),
        ],
    )
    def test_earns_what_the_option_is_worth(self, option_id, expected):
        assert compile_grader(*self.asked)(OptionResponse(option_id=option_id)) == expected

    def test_option_without_an_outcome_earns_nothing(self):
        asked, answer_key = choice(QuestionType.SINGLE_CHOICE, {"a": FULL_CREDIT, "b": 0})
        only_a = key(ChoiceKey(options={"a": answer_key.key.options["a"]}))
        assert compile_grader(asked, only_a)(OptionResponse(option_id="b")) == Grade(0, 0b10)
        assert feedback_for(asked, only_a, OptionResponse(option_id="b")) == ()

    def test_learner_is_told_about_the_chosen_option_and_in_general(self):
        told = feedback_for(*self.asked, OptionResponse(option_id="c"))
        assert [each.text for each in told] == ["about c", "in general"]


class TestMultipleChoice:
    asked = choice(
        QuestionType.MULTIPLE_CHOICE,
        {"a": 50 * PERCENT, "b": 50 * PERCENT, "c": -50 * PERCENT, "d": -100 * PERCENT},
    )

    @pytest.mark.parametrize(
        ("option_ids", "percent", "code"),
        [
            ((), 0, 0),
            (("a",), 50, 0b1),
            (("b", "a"), 100, 0b11),
            (("a", "b", "c"), 50, 0b111),
            (("a", "d"), 0, 0b1001),
            (("c", "d"), 0, 0b1100),
            (("a", "a"), 50, 0b1),
            (("unknown",), 0, 0),
        ],
    )
    def test_earns_the_sum_between_nothing_and_all(self, option_ids, percent, code):
        grade = compile_grader(*self.asked)(OptionsResponse(option_ids=option_ids))
        assert grade == Grade(percent * PERCENT, code)

    def test_three_rounded_thirds_are_all_of_it(self):
        third = 3_333_333
        asked = choice(QuestionType.MULTIPLE_CHOICE, {"a": third, "b": third, "c": third, "d": 0})
        assert compile_grader(*asked)(OptionsResponse(option_ids=("a", "b", "c"))).credit == FULL_CREDIT
        assert compile_grader(*asked)(OptionsResponse(option_ids=("a", "b"))).credit == 2 * third

    def test_more_than_all_is_all(self):
        asked = choice(QuestionType.MULTIPLE_CHOICE, {"a": FULL_CREDIT, "b": FULL_CREDIT})
        assert compile_grader(*asked)(OptionsResponse(option_ids=("a", "b"))).credit == FULL_CREDIT

    def test_sixtieth_option_has_its_bit(self):
        asked = choice(QuestionType.MULTIPLE_CHOICE, {f"o{i}": PERCENT for i in range(60)})
        assert compile_grader(*asked)(OptionsResponse(option_ids=("o59",))) == Grade(PERCENT, 1 << 59)

    def test_learner_is_told_about_each_chosen_option_in_the_order_shown(self):
        told = feedback_for(*self.asked, OptionsResponse(option_ids=("c", "a")))
        assert [each.text for each in told] == ["about a", "about c", "in general"]

    @given(
        st.lists(st.integers(-FULL_CREDIT, FULL_CREDIT), min_size=1, max_size=60),
        st.sets(st.integers(0, 59)),
    )
    def test_credit_is_the_clamped_sum_in_any_order(self, worth, chosen):
        credit_by_id = {f"o{i}": credit for i, credit in enumerate(worth)}
        chosen = [f"o{i}" for i in chosen if i < len(worth)]
        grader = compile_grader(*choice(QuestionType.MULTIPLE_CHOICE, credit_by_id))
        grade = grader(OptionsResponse(option_ids=chosen))
        assert grade == grader(OptionsResponse(option_ids=chosen[::-1]))
        total = min(max(sum(credit_by_id[each] for each in chosen), 0), FULL_CREDIT)
        assert grade.credit == total or (total >= FULL_CREDIT - 100 and grade.credit == FULL_CREDIT)
        assert grade.response_code == sum(1 << int(each[1:]) for each in chosen)


class TestTrueFalse:
    @pytest.mark.parametrize("value", [True, False])
    def test_only_the_right_value_earns_credit(self, value):
        grader = compile_grader(question(QuestionType.TRUE_FALSE), key(TrueFalseKey(value=value)))
        assert grader(TruthResponse(value=True)) == Grade(FULL_CREDIT if value else 0, TRUE_CODE)
        assert grader(TruthResponse(value=False)) == Grade(0 if value else FULL_CREDIT, FALSE_CODE)

    def test_learner_is_told_why(self):
        asked = question(QuestionType.TRUE_FALSE)
        answer_key = key(TrueFalseKey(value=False, when_right=rich("yes"), when_wrong=rich("no")), "general")
        right = feedback_for(asked, answer_key, TruthResponse(value=False))
        wrong = feedback_for(asked, answer_key, TruthResponse(value=True))
        assert [each.text for each in right] == ["yes", "general"]
        assert [each.text for each in wrong] == ["no", "general"]


class TestNumeric:
    asked = numeric(
        ("1822", "1822", FULL_CREDIT), ("1820", "1824", 50 * PERCENT), ("-1", "-0.5", PERCENT), otherwise="no"
    )

    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            (1822, Grade(FULL_CREDIT, 1)),
            (1822.0, Grade(FULL_CREDIT, 1)),
            (1820, Grade(50 * PERCENT, 2)),
            (1824.0, Grade(50 * PERCENT, 2)),
            (1824.0000000001, Grade(0, 0)),
            (-0.5, Grade(PERCENT, 3)),
            (-0.0, Grade(0, 0)),
            (1e300, Grade(0, 0)),
        ],
    )
    def test_first_range_that_contains_the_number_decides(self, number, expected):
        assert compile_grader(*self.asked)(NumberResponse(number=number)) == expected

    @pytest.mark.parametrize("typed", ["0.1", "0.3", "2.675", "1e-7", "123456.789"])
    def test_numbers_compare_as_they_were_typed(self, typed):
        grader = compile_grader(*numeric((typed, typed, FULL_CREDIT)))
        response = NumberResponse.model_validate_json(f'{{"number": {typed}}}')
        assert grader(response).credit == FULL_CREDIT

    @given(st.floats(-1e300, 1e300), st.floats(0, 1e6))
    def test_bounds_belong_to_the_range(self, value, tolerance):
        low = Decimal(str(value)) - Decimal(str(tolerance))
        high = Decimal(str(value)) + Decimal(str(tolerance))
        assert compile_grader(*numeric((low, high, FULL_CREDIT)))(NumberResponse(number=value)).response_code

    def test_learner_is_told_about_the_range_or_the_lack_of_one(self):
        assert feedback_for(*self.asked, NumberResponse(number=1823))[0].text == "1820 to 1824"
        assert feedback_for(*self.asked, NumberResponse(number=7))[0].text == "no"


class TestShortText:
    @pytest.mark.parametrize(
        ("pattern", "text", "matches"),
        [
            ("four", "  FOUR ", True),
            ("four", "fours", False),
            ("*", "", True),
            ("*cat*", "concatenate", True),
            ("cat*", "concat", False),
            ("*cat", "concat", True),
            ("a*a", "a", False),
            ("a*a", "aa", True),
            ("ab*ba", "aba", False),
            ("*ab*ab*", "abXab", True),
            ("*ab*ab*", "xaby", False),
            ("a*b*c", "a b b c", True),
            ("a**b", "ab", True),
            (r"2\*3", "2*3", True),
            (r"2\*3", "2x3", False),
            (r"\**\*", "* and *", True),
            ("(a+)+$", "(a+)+$", True),
            ("(a+)+$", "aaa", False),
            ("*ירושלים*", "הָעִיר יְרוּשָׁלַיִם.", True),
            ("*ירושלימ", "העיר יְרוּשָׁלִים.", True),
            ("צה*", "צה״ל", True),
        ],
    )
    def test_pattern_matches_the_whole_answer(self, pattern, text, matches):
        grade = compile_grader(*short_text((pattern, FULL_CREDIT)))(TextResponse(text=text))
        assert grade == (Grade(FULL_CREDIT, 1) if matches else Grade(0, 0))

    @pytest.mark.parametrize(
        ("text", "position"),
        [("nazareth", 1), ("nazzareth", 2), ("bethlehem", 3), ("betlehem", 4), ("rome", 0), ("nazer", 2)],
    )
    def test_first_pattern_that_matches_decides(self, text, position):
        asked = short_text(
            ("Nazareth", FULL_CREDIT),
            ("naz*", 75 * PERCENT),
            ("Bethlehem", 25 * PERCENT),
            ("bet*", 20 * PERCENT),
            ("nazer", FULL_CREDIT),
            ("bethlehem", FULL_CREDIT),
        )
        assert compile_grader(*asked)(TextResponse(text=text)).response_code == position

    def test_case_counts_when_asked_for(self):
        grader = compile_grader(*short_text(("NaCl", FULL_CREDIT), ("*C*", PERCENT), case_sensitive=True))
        assert grader(TextResponse(text="NaCl")).response_code == 1
        assert grader(TextResponse(text="nacl")).response_code == 0
        assert grader(TextResponse(text="NAC")).response_code == 2

    def test_learner_is_told_about_the_matched_pattern(self):
        asked = short_text(("a", FULL_CREDIT), ("b", 0))
        assert [each.text for each in feedback_for(*asked, TextResponse(text="B"))] == ["b"]
        assert feedback_for(*asked, TextResponse(text="c")) == ()

    @given(st.lists(st.text("ab", max_size=4), min_size=1, max_size=5), st.text("ab", max_size=12))
    def test_wildcards_mean_what_a_search_of_every_split_finds(self, pieces, text):
        def found(pieces, text):
            if len(pieces) == 1:
                return text == pieces[0]
            return text.startswith(pieces[0]) and any(
                found(pieces[1:], text[start:]) for start in range(len(pieces[0]), len(text) + 1)
            )

        pattern = "*".join(pieces)
        if pattern:
            grade = compile_grader(*short_text((pattern, FULL_CREDIT)))(TextResponse(text=text))
            assert (grade.response_code == 1) == found(pieces, text)

    @pytest.mark.parametrize("pattern", ["*a" * 499 + "b", "*a*b" * 249, "*" * 1000, "*" + "a" * 998 + "b"])
    def test_hostile_pattern_and_answer_are_graded_quickly(self, pattern):
        grader = compile_grader(*short_text(*[(pattern, FULL_CREDIT)] * 60))
        response = TextResponse(text="a" * 16_384)
        began = time.perf_counter()
        grader(response)
        assert time.perf_counter() - began < 2


class TestMatching:
    def test_each_right_pair_is_an_equal_share(self):
        grader = compile_grader(*matching({"s": "c", "t": "d", "u": "c"}, spare=("e",)))
        assert grader(PairsResponse(pairs={"s": "c", "t": "d", "u": "c"})) == Grade(FULL_CREDIT, 0b111)
        assert grader(PairsResponse(pairs={"s": "c", "t": "c", "u": "c"})) == Grade(6_666_667, 0b101)
        assert grader(PairsResponse(pairs={"t": "d", "u": "e"})) == Grade(3_333_333, 0b010)
        assert grader(PairsResponse(pairs={"s": "unknown", "unknown": "c"})) == Grade(0, 0)
        assert grader(PairsResponse(pairs={})) == Grade(0, 0)

    @given(st.integers(1, 60), st.data())
    def test_credit_is_within_half_a_unit_of_the_exact_share(self, stem_count, data):
        pairs = {f"s{i}": f"c{i}" for i in range(stem_count)}
        right = data.draw(st.integers(0, stem_count))
        response = PairsResponse(pairs=dict(list(pairs.items())[:right]))
        credit = compile_grader(*matching(pairs))(response).credit
        exact = Fraction(FULL_CREDIT * right, stem_count)
        assert credit == round(exact)
        assert abs(credit - exact) <= Fraction(1, 2)


def test_essay_waits_for_a_person():
    assert compile_grader(*EVERY_TYPE["essay"])(TextResponse(text="…")) == Grade(None, 0)


def test_key_of_another_question_is_refused():
    asked, answer_key = EVERY_TYPE["single"]
    with pytest.raises(InvalidRequest):
        compile_grader(asked, answer_key.model_copy(update={"question_id": "q2"}))


def test_key_of_another_type_is_refused():
    with pytest.raises(InvalidRequest):
        compile_grader(EVERY_TYPE["single"][0], EVERY_TYPE["truth"][1])


numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(-1e300, 1e300))
pairs_of_ids = st.dictionaries(st.sampled_from("stux"), st.sampled_from("cdx"))
responses = st.one_of(
    st.sampled_from("abcx").map(lambda each: OptionResponse(option_id=each)),
    st.lists(st.sampled_from("abcx"), max_size=6).map(lambda each: OptionsResponse(option_ids=each)),
    st.booleans().map(lambda each: TruthResponse(value=each)),
    numbers.map(lambda each: NumberResponse(number=each)),
    st.text().map(lambda each: TextResponse(text=each)),
    pairs_of_ids.map(lambda each: PairsResponse(pairs=each)),
)


@pytest.mark.parametrize("kind", list(EVERY_TYPE))
@given(response=responses)
def test_every_response_of_any_shape_gets_a_grade_within_bounds(kind, response):
    asked, answer_key = EVERY_TYPE[kind]
    grade = compile_grader(asked, answer_key)(response)
    low = 0 if asked.type in {QuestionType.MULTIPLE_CHOICE, QuestionType.MATCHING} else -FULL_CREDIT
    assert grade.credit is None or low <= grade.credit <= FULL_CREDIT
    assert 0 <= grade.response_code < 2**60
    for text in feedback_for(asked, answer_key, response):
        assert text.text

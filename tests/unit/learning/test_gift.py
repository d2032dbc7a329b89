"""GIFT files: what each construct becomes, and where mistakes are reported."""

from decimal import Decimal
from pathlib import Path

import pytest

from shared.errors import InvalidRequest
from shared.learning.importing.findings import MAX_PROBLEMS
from shared.learning.questions import QuestionType, TextFormat
from tests.unit.learning.authored import answers, imported, only, text_of

DATA = Path(__file__).parents[2] / "data"


def problems(source):
    with pytest.raises(InvalidRequest) as caught:
        imported(source)
    return [(each["line"], each["column"], each["message"]) for each in caught.value.details]


@pytest.fixture(scope="module")
def documented():
    result = imported((DATA / "documented.gift").read_text(encoding="utf-8"))
    assert result.skipped == ()
    return result.questions


def about(questions, beginning):
    (found,) = [each for each in questions if each.question.text.text.startswith(beginning)]
    return found


class TestDocumentedFeatures:
    def test_every_question_is_read_in_its_order(self, documented):
        kinds = [each.question.type.value for each in documented]
        assert kinds == [
            *["singleChoice"] * 4,
            *["multipleChoice"] * 2,
            *["trueFalse"] * 3,
            *["shortText"] * 4,
            *["numeric"] * 4,
            "matching",
            *["singleChoice"] * 2,
            *["essay"] * 2,
            "description",
            "trueFalse",
        ]

    def test_wrong_and_right_options(self, documented):
        found = about(documented, "Which river flows through Vienna?")
        assert answers(found) == {"Rhine": (0, None), "Elbe": (0, None), "Danube": (100, None)}

    @pytest.mark.parametrize(
        "text",
        [
            "The Danube _____ in the Black Sea.",
            "Rome lies on the _____ river.",
            "Two plus two equals _____.",
            "How long is the Danube, in thousands of km? _____.",
            "Which set is _____ right?",
        ],
    )
    def test_answers_inside_a_sentence_leave_a_blank(self, documented, text):
        assert about(documented, text).question.text.text == text

    def test_name_weights_and_feedback(self, documented):
        found = about(documented, "The longest river of Europe is the")
        assert found.question.name == "Longest"
        assert answers(found) == {
            "Volga": (100, "Yes, 3,530 km."),
            "Danube": (50, "The longest of the European Union."),
            "Thames": (-25, "Not even the longest of Britain."),
        }
        assert text_of(found.answer_key.general_feedback) == "The Volga ends in the Caspian Sea."

    def test_without_a_right_option_several_may_be_chosen(self, documented):
        found = about(documented, "Which two rivers")
        assert found.question.type == QuestionType.MULTIPLE_CHOICE
        assert {text: credit for text, (credit, _) in answers(found).items()} == {
            "Rhine": 50,
            "Moselle": 50,
            "Main": -50,
            "Neckar": -50,
        }

    def test_rounded_thirds_are_thirds(self, documented):
        found = about(documented, "Which three")
        assert answers(found)["Elbe"] == (Decimal("33.33333"), None)

    @pytest.mark.parametrize(
        ("beginning", "expected"),
        [
            ("The Loire", (False, None, None)),
            ("The Seine", (True, None, None)),
            ("The Ebro", (False, "Right, it is in Spain.", "It is in Spain.")),
        ],
    )
    def test_true_and_false_with_feedback_for_wrong_then_right(self, documented, beginning, expected):
        assert answers(about(documented, beginning)) == expected

    def test_general_feedback_follows_the_answers(self, documented):
        found = about(documented, "The Ebro")
        assert text_of(found.answer_key.general_feedback) == "Iberia is named after it."

    @pytest.mark.parametrize(
        ("beginning", "expected"),
        [
            (
                "Which river flows through London?",
                [("Thames", 100, None), ("the Thames", 100, None), ("River Thames", 100, None)],
            ),
            ("Name the river of Florence", [("Arno", 100, None)]),
            (
                "Which river rises at Vitte?",
                [
                    ("Weichsel", 75, "The German name."),
                    ("Vistula", 100, None),
                    ("Wis*a", 100, None),
                    ("*", 0, "It flows through Warsaw."),
                ],
            ),
        ],
    )
    def test_short_answers(self, documented, beginning, expected):
        assert answers(about(documented, beginning)) == expected

    @pytest.mark.parametrize(
        ("beginning", "expected"),
        [
            ("How long is the Rhine", [(1223, 1243, 100, None)]),
            ("In which year", [(1869, 1869, 100, None)]),
            ("How long is the Danube", [(Decimal("2.8"), Decimal("2.9"), 100, None)]),
            (
                "How long is the Elbe",
                [
                    (1089, 1099, 100, "Exactly enough."),
                    (1034, 1154, 50, "Roughly,\n                   so half of it."),
                ],
            ),
        ],
    )
    def test_numbers(self, documented, beginning, expected):
        assert answers(about(documented, beginning)) == expected

    def test_feedback_for_any_wrong_number(self, documented):
        assert (
            text_of(about(documented, "How long is the Elbe").answer_key.key.otherwise) == "About 1,094 km."
        )

    def test_pairs_may_share_a_choice_and_choices_may_be_spare(self, documented):
        found = about(documented, "Which river is where?")
        assert answers(found) == (
            [("Kraków", "Vistula"), ("Prague", "Vltava"), ("Budapest", "Danube"), ("Belgrade", "Danube")],
            {"Tagus"},
        )
        assert len(found.question.choices) == 4

    def test_texts_keep_their_formats(self, documented):
        found = about(documented, "What does <em>delta</em> mean?")
        assert found.question.text.format == TextFormat.HTML
        forms = {option.text.text: option.text.format for option in found.question.options}
        assert forms == {
            "a mouth like a <triangle>": TextFormat.PLAIN,
            "a **bend**": TextFormat.MARKDOWN,
            "a ~ lake\nor a sea": TextFormat.HTML,
        }
        assert answers(found)["a **bend**"] == (0, "<b>No</b>")

    def test_escaped_control_characters_are_text(self, documented):
        found = about(documented, "Which set is")
        assert found.question.name == "Braces : and #"
        assert answers(found) == {
            "{1=1}": (100, None),
            "{1~2}": (0, "That is #2, a \\backslash."),
            "a:b": (0, None),
        }

    def test_essay_keeps_its_general_feedback(self, documented):
        assert text_of(about(documented, "Compare two").answer_key.general_feedback) == "About 200 words."

    def test_text_without_braces_is_a_description(self, documented):
        found = about(documented, "The next questions")
        assert found.question.name == "Break"
        assert found.question.text.text == "The next questions are about **canals**.\nThey are harder."
        assert found.question.text.format == TextFormat.MARKDOWN

    def test_category_lasts_until_the_next(self, documented):
        assert [each.question.category for each in documented].count("Rivers/Europe") == len(documented) - 1
        assert documented[-1].question.category == "Canals"

    def test_comments_are_no_part_of_anything(self, documented):
        assert documented[-1].question.text.text == "The Corinth Canal\njoins two seas."


@pytest.fixture(scope="module")
def hebrew():
    return imported((DATA / "hebrew.gift").read_text(encoding="utf-8")).questions


class TestHebrew:
    def test_every_type_is_read(self, hebrew):
        assert [each.question.name for each in hebrew] == [
            "בירה",
            "ים המלח",
            'צה"ל',
            "מרחק",
            "התאמה",
            "משפט",
        ]
        assert {each.question.category for each in hebrew} == {"גאוגרפיה/ישראל"}

    def test_answers_are_read(self, hebrew):
        capital, sea, army, height, match, sentence = hebrew
        assert answers(capital)["חיפה"] == (-25, None)
        assert answers(sea) == (True, "יפה!", "הסתכלו במפה.")
        assert answers(army) == [("צה״ל", 100, None), ("צבא הגנה לישראל", 100, None)]
        assert answers(height) == [(2804, 2824, 100, None)]
        assert answers(match) == ([("אילת", "הנגב"), ("צפת", "הגליל")], {"השרון"})
        assert sentence.question.text.text == "השלימו: בראשית _____ את השמים."

    def test_direction_marks_before_control_characters_do_no_harm(self):
        marked = "\u200f// הערה\n\u200f::שם::שאלה? {\n\u200f=כן\n\u200e~לא\n}"
        found = only(marked)
        assert found.question.name == "שם"
        assert answers(found) == {"כן": (100, None), "לא": (0, None)}


class TestDetails:
    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
    def test_line_endings_and_byte_order_mark_do_not_matter(self, ending):
        source = ending.join(["\ufeff::a::one {T}", "", "  \t", "::b::two", "more {F}", ""])
        found = imported(source).questions
        assert [each.question.text.text for each in found] == ["one", "two\nmore"]

    def test_blank_lines_may_stand_between_braces(self):
        assert answers(only("q {\n\n =a\n\n ~b#c\n\n d\n\n}")) == {"a": (100, None), "b": (0, "c\n\n d")}

    @pytest.mark.parametrize(
        ("written", "name"),
        [
            ("What   is\nthis? {T}", "What is this?"),
            ("[html]<p>A &amp; <b>B</b></p> {T}", "A & B"),
            ("[plain]a<b {T}", "a<b"),
            ("[html]<img src\\='x'> {T}", "Question 1"),
            ("word " * 40 + "{T}", "word " * 14 + "word…"),
        ],
    )
    def test_question_without_a_name_is_named_after_its_text(self, written, name):
        assert only(written).question.name == name

    def test_indentation_inside_a_text_is_kept(self):
        assert (
            only("  [html]<pre>\n  if x\n    y\n</pre>\n  {}").question.text.text
            == "<pre>\n  if x\n    y\n</pre>"
        )

    def test_comment_between_lines_leaves_no_gap(self):
        assert only("one\n  // not me\n  two {\n // nor me\n T\n}").question.text.text == "one\n  two"

    def test_escaped_newline_is_a_new_line(self):
        assert only(r"one\ntwo {T}").question.text.text == "one\ntwo"

    def test_backslash_before_anything_else_stays(self):
        assert only(r"\(x^2\) is \alpha {=C\\d}").question.text.text == r"\(x^2\) is \alpha"
        assert answers(only(r"q {=C\\d}")) == [(r"C\d", 100, None)]

    def test_escaped_asterisk_reaches_the_pattern(self):
        assert answers(only(r"q {=2\*3}")) == [(r"2\*3", 100, None)]

    @pytest.mark.parametrize(
        ("written", "value"),
        [("T", True), ("TRUE", True), ("true", True), ("F", False), ("False", False), (" T ", True)],
    )
    def test_truth_in_any_spelling(self, written, value):
        assert answers(only("q {" + written + "}"))[0] is value

    @pytest.mark.parametrize(
        ("written", "low", "high"),
        [
            ("3", "3", "3"),
            ("-3.5:0.5", "-4.0", "-3.0"),
            (".5", "0.5", "0.5"),
            ("+1e3:1E-3", "999.999", "1000.001"),
            ("=0..1", "0", "1"),
            (" 1 .. 2 ", "1", "2"),
            ("-2..-1", "-2", "-1"),
            ("=1:0", "1", "1"),
            ("*", "-1E300", "1E300"),
        ],
    )
    def test_numbers_and_ranges(self, written, low, high):
        ((minimum, maximum, *_),) = answers(only("q {#" + written + "}"))
        assert (minimum, maximum) == (Decimal(low), Decimal(high))

    def test_tolerance_is_exact_however_many_digits(self):
        ((minimum, maximum, *_),) = answers(only("q {#1e20:1e-20}"))
        assert maximum - Decimal("1e20") != 0
        assert str(minimum).startswith("99999999999999999999.99999999999999999999")

    def test_wrong_number_keeps_its_own_feedback(self):
        found = only("q {#=3 ~4#too high ~#no}")
        assert answers(found) == [(3, 3, 100, None), (4, 4, 0, "too high")]
        assert text_of(found.answer_key.key.otherwise) == "no"

    @pytest.mark.parametrize(
        ("weight", "credit"),
        [
            ("%50%", "50"),
            ("%-33.33333%", "-33.33333"),
            ("%100%", "100"),
            ("%66.67%", "66.66667"),
            ("%66.66%", "66.66667"),
            ("%16.7%", "16.66667"),
            ("%14.28571%", "14.28571"),
            ("%33%", "33"),
            ("%12,5%", "12.5"),
            ("%0%", "0"),
        ],
    )
    def test_weights(self, weight, credit):
        assert answers(only("q {=a ~" + weight + "b}"))["b"][0] == Decimal(credit)

    def test_percent_sign_alone_is_text(self):
        assert set(answers(only("q {=%d ~% ~50%}"))) == {"%d", "%", "50%"}

    def test_two_right_options_are_a_single_choice(self):
        found = only("q {=a =b ~c}")
        assert found.question.type == QuestionType.SINGLE_CHOICE
        assert answers(found) == {"a": (100, None), "b": (100, None), "c": (0, None)}

    def test_number_sign_after_the_first_belongs_to_the_feedback(self):
        assert answers(only("q {=a#b#c ~d}"))["a"] == (100, "b#c")

    def test_number_sign_in_a_pair_is_text(self):
        assert answers(only("q {=C# -> Microsoft =Java -> Sun}"))[0][0] == ("C#", "Microsoft")

    def test_colons_in_text_are_no_name(self):
        assert only("C:: what? {T}").question.text.text == "C:: what?"

    @pytest.mark.parametrize(
        ("written", "category"),
        [
            ("$course$/top/A/B", "A/B"),
            ("$course$/A", "A"),
            ("$course$", ""),
            ("$system$/top", ""),
            ("$course$/topics/A", "topics/A"),
            ("A \\= B", "A = B"),
            ("tom/dick", "tom/dick"),
        ],
    )
    def test_category_paths(self, written, category):
        assert only(f"$CATEGORY: {written}\n\nq {{T}}").question.category == category

    def test_question_may_follow_its_category_directly(self):
        assert only("$CATEGORY: a\nq {T}").question.category == "a"

    def test_text_after_the_answers_only_blanks_out_when_there_is_some(self):
        assert only("q {T} // no comment here").question.text.text == "q _____ // no comment here"
        assert only("q {T}\n// a comment").question.text.text == "q"


class TestSkipped:
    def test_ordering_question_is_left_out_and_told(self):
        result = imported("a {T}\n\nput in order {>ALL\n one\n two\n}\n\nb {F}")
        assert [each.question.text.text for each in result.questions] == ["a", "b"]
        ((line, column, reason),) = result.skipped
        assert (line, column) == (3, 15)
        assert "ordering" in reason

    def test_missing_file_is_told_and_the_question_kept(self):
        result = imported('a {T}\n\n[html]see <img src\\="@@PLUGINFILE@@/a.png"> {T}')
        assert len(result.questions) == 2
        assert result.skipped[0][:2] == (3, 22)

    def test_file_of_which_nothing_is_left_is_refused_with_the_reasons(self):
        assert [each[:2] for each in problems("q {==[a-z]+}")] == [(1, 1), (1, 4)]


class TestMistakes:
    @pytest.mark.parametrize(
        ("source", "line", "column", "fragment"),
        [
            ("", 1, 1, "no questions"),
            ("// only a comment\n\n", 1, 1, "no questions"),
            ("q {=a ~b", 1, 3, "never closed"),
            ("q {=a ~b\n\nr {T}", 1, 3, "never closed"),
            ("a {T}\n\nq =a}", 3, 5, r"\}"),
            ("q {=a {~b}", 1, 7, r"\{"),
            ("q {T} r {F}", 1, 9, "one pair"),
            ("q {T}\nr {F}", 2, 3, "blank line"),
            ("::name q {T}", 1, 1, "::"),
            ("q {T}\n$CATEGORY: a\n\nr {F}", 2, 1, "blank line"),
            ("\n\n  ::name:: {T}", 3, 3, "no text"),
            ("q {\n  ~a\n  =%101%b\n}", 3, 4, "weight"),
            ("q {=a ~%5O%b}", 1, 8, "weight"),
            ("q {~a\n ~ \n =b}", 2, 3, "empty"),
            ("q {=a#yes\n =}", 2, 3, "empty"),
            ("q {wrong =a ~b}", 1, 4, "begins with"),
            ("q {~a ~b}", 1, 3, "no answer earns credit"),
            ("q {=%0%a}", 1, 3, "no answer earns credit"),
            ("q {~a =}", 1, 8, "empty"),
            ("q {#}", 1, 4, "number"),
            ("q {#=3\n =x:1}", 2, 3, "'x' is not a number"),
            ("q {#3:y}", 1, 7, "'y' is not a number"),
            ("q {#3: -1}", 1, 8, "negative"),
            ("q {#5..3}", 1, 5, "before it begins"),
            ("q {#1..}", 1, 8, "missing"),
            ("q {#1e301}", 1, 5, "not a number"),
            ("q {=a -> b =c}", 1, 13, "left -> right"),
            ("q {=a -> b = c -> }", 1, 18, "empty"),
            ("q {=a -> b}", 1, 3, "two pairs"),
            ("q {= -> a = -> b}", 1, 3, "two pairs"),
            ("שלום {=א ~ב\u05b0 =%200%ג}", 1, 15, "weight"),
            ("::" + "n" * 256 + "::q {T}", 1, 3, "255"),
            ("$CATEGORY: " + "c" * 256 + "\n\nq {T}", 1, 12, "255"),
            ("[plain]" + "x" * 16_001 + "{T}", 1, 1, "16000"),
            ("q {=" + "p" * 1001 + "}", 1, 5, "1000"),
            ("q {=a" + "~b" * 60 + "}", 1, 124, "60"),
            ("q {=a#b\x00}", 1, 8, "U+0000"),
            ("q {=a ~\ufdd3}", 1, 8, "U+FDD3"),
        ],
    )
    def test_mistake_is_reported_at_its_place(self, source, line, column, fragment):
        found = problems(source)
        assert found[0][:2] == (line, column)
        assert fragment in found[0][2]
        assert len(found) == 1

    def test_all_mistakes_are_reported_at_once(self):
        source = "a {=x ~%200%y}\n\nfine {T}\n\nb {#z}\n\nc {~u ~v}\n\nd {"
        assert [each[:2] for each in problems(source)] == [(1, 8), (5, 5), (7, 3), (9, 3)]

    def test_several_mistakes_of_one_question_are_reported(self):
        assert [each[:2] for each in problems("q {#a:b =c..d}")] == [(1, 5), (1, 7), (1, 10), (1, 13)]

    def test_message_names_the_first_mistake(self):
        with pytest.raises(InvalidRequest, match=r"^line 1, column 5: 'x' is not a number \(and 1 more\)$"):
            imported("q {#x}\n\nr {#y}")

    def test_report_ends_somewhere(self):
        assert len(problems("q {#x}\n\n" * 1000)) == MAX_PROBLEMS

    def test_columns_count_after_the_byte_order_mark_and_across_carriage_returns(self):
        assert problems("\ufeffq {#x}")[0][:2] == (1, 5)
        assert problems("a {T}\r\n\r\nq {#x}\r\n")[0][:2] == (3, 5)

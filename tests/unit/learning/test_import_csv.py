"""Tables of questions: how they are written, what they become, and where mistakes are reported."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.learning.importing.findings import UNREADABLE
from shared.learning.questions import QuestionType, TextFormat
from tests.unit.learning.authored import answers, imported, only, text_of


def row(header, cells):
    """The question of a table with one row below its header."""
    return only(f"{header}\n{cells}\n", "csv")


def problems(source):
    with pytest.raises(InvalidRequest) as caught:
        imported(source, "csv")
    return [(each["line"], each["column"], each["message"]) for each in caught.value.details]


class TestTypes:
    @pytest.mark.parametrize("correct", ["2", "option2", "Paris", " Paris "])
    def test_single_choice_by_number_or_text(self, correct):
        found = row("type,text,option1,option2,option3,correct", f"single,?,Rome,Paris,Oslo,{correct}")
        assert found.question.type == QuestionType.SINGLE_CHOICE
        assert answers(found) == {"Rome": (0, None), "Paris": (100, None), "Oslo": (0, None)}

    @pytest.mark.parametrize("correct", ['"1,3"', "1|3", "1;3", '"Rhine, Elbe"', "option1|Elbe"])
    def test_multiple_choice_shares_the_credit_and_charges_for_guessing(self, correct):
        header = "type,text,option1,option2,option3,option4,correct"
        found = row(header, f"multiple,?,Rhine,Po,Elbe,Ebro,{correct}")
        assert found.question.type == QuestionType.MULTIPLE_CHOICE
        assert answers(found) == {
            "Rhine": (50, None),
            "Elbe": (50, None),
            "Po": (-50, None),
            "Ebro": (-50, None),
        }

    def test_credits_of_ones_own(self):
        header = "type,text,option1,credit1,option2,credit2,option3,credit3"
        found = row(header, "multiple,?,a,33.33%,b,66.67,c,-100")
        credit = {text: earned for text, (earned, _) in answers(found).items()}
        assert credit == {"a": Decimal("33.33333"), "b": Decimal("66.66667"), "c": -100}

    def test_credit_adds_to_what_is_correct(self):
        header = "type,text,option1,option2,credit2,option3,correct"
        assert answers(row(header, "single,?,a,b,50,c,1")) == {
            "a": (100, None),
            "b": (50, None),
            "c": (0, None),
        }

    @pytest.mark.parametrize(
        ("word", "value"),
        [("TRUE", True), ("f", False), ("yes", True), ("0", False), ("נכון", True), ("לא נכון", False)],
    )
    def test_true_or_false(self, word, value):
        found = row("type,text,correct,feedback right,feedback wrong", f"true/false,?,{word},good,bad")
        assert answers(found) == (value, "good", "bad")

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ("1822,,", [(1822, 1822, 100, None)]),
            ("1822,2,", [(1820, 1824, 100, None)]),
            ("1822:3,2,", [(1819, 1825, 100, None)]),
            ("3.141..3.142,,", [(Decimal("3.141"), Decimal("3.142"), 100, None)]),
            ("1|2,,", [(1, 1, 100, None), (2, 2, 100, None)]),
            (",,7:1", [(6, 8, 100, None)]),
        ],
    )
    def test_numeric(self, cells, expected):
        assert answers(row("type,text,correct,tolerance,option1", f"numeric,?,{cells}")) == expected

    def test_several_numbers_with_their_own_credit_and_feedback(self):
        header = "type,text,option1,feedback1,option2,credit2,feedback2,feedbackWrong"
        found = row(header, "numeric,?,1822,exactly,1822:5,50,nearly,no")
        assert answers(found) == [(1822, 1822, 100, "exactly"), (1817, 1827, 50, "nearly")]
        assert text_of(found.answer_key.key.otherwise) == "no"

    def test_text(self):
        header = "type,text,correct,option1,credit1,feedbackright,feedbackwrong,case sensitive"
        found = row(header, "text,?,four|4,f*r,50,right,wrong,yes")
        assert answers(found) == [
            ("four", 100, "right"),
            ("4", 100, "right"),
            ("f*r", 50, None),
            ("*", 0, "wrong"),
        ]
        assert found.answer_key.key.case_sensitive

    def test_matching(self):
        found = row("type,text,option1,option2,option3", "matching,?,Canada -> Ottawa,Italy→Rome,-> Oslo")
        assert answers(found) == ([("Canada", "Ottawa"), ("Italy", "Rome")], {"Oslo"})

    def test_essay_and_description(self):
        assert text_of(row("type,text,notes", "essay,?,look for x").answer_key.key.notes) == "look for x"
        assert row("type,text", "description,read this").question.type == QuestionType.DESCRIPTION

    def test_what_every_type_may_have(self):
        header = "type,name,text,format,category,weight,general feedback"
        found = row(header, "essay,A  name,<b>?</b>,HTML,A/B,2.50,Well")
        assert found.question.name == "A name"
        assert found.question.text.format == TextFormat.HTML
        assert found.question.category == "A/B"
        assert found.question.weight == Decimal("2.5")
        assert text_of(found.answer_key.general_feedback) == "Well"

    def test_authored_order_is_kept_on_request(self):
        header = "type,text,shuffle,correct," + ",".join(f"option{i}" for i in range(1, 16))
        letters = "abcdefghijklmno"
        found = row(header, f"single,?,no,b,{','.join(letters)}")
        assert [option.text.text for option in found.question.options] == list(letters)


class TestTables:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_any_spreadsheet_may_have_saved_it(self, delimiter, ending, mark):
        rows = [
            ["type", "text", "correct"],
            ["text", 'a "b", c; d\te', "x"],
            ["truefalse", "two\nlines", "T"],
        ]
        written = io.StringIO()
        csv.writer(written, delimiter=delimiter, lineterminator=ending).writerows(rows)
        found = imported(mark + written.getvalue(), "csv").questions
        assert [each.question.text.text for each in found] == ['a "b", c; d\te', "two\nlines"]

    def test_first_line_may_name_the_delimiter(self):
        found = imported("sep=;\r\ntype;text;correct\r\nnumeric;?;3,5\r\n", "csv").questions
        assert answers(found[0]) == [(Decimal("3.5"), Decimal("3.5"), 100, None)]

    def test_decimal_comma_needs_a_table_with_semicolons(self):
        assert answers(only("type;text;correct\nnumeric;?;3,5", "csv"))[0][0] == Decimal("3.5")
        assert "'3,5' is not a number" in problems('type,text,correct\nnumeric,?,"3,5"')[0][2]

    def test_blank_rows_and_short_rows_are_fine(self):
        found = imported("\n,,\ntype,text,notes\n\nessay,a\n , ,\nessay,b,\n\n", "csv").questions
        assert [each.question.text.text for each in found] == ["a", "b"]

    def test_header_is_read_leniently(self):
        assert only(" Type ,QUESTION TEXT,Correct_Answer\ntext,?,x", "csv").question.text.text == "?"

    def test_quotation_mark_inside_a_plain_cell_is_text(self):
        assert (
            only('type,text,correct\ntext,איזה צבא?,צה"ל', "csv").answer_key.key.patterns[0].pattern == 'צה"ל'
        )

    def test_spaces_around_quotation_marks_do_not_matter(self):
        assert only('type,text,correct\ntext, "a, b" ,x', "csv").question.text.text == "a, b"

    def test_unknown_columns_are_left_out_and_told(self):
        result = imported("type,text,author,\nessay,?,Dan,\n", "csv")
        assert [(each.line, each.column) for each in result.skipped] == [(1, 11)]
        assert "'author'" in result.skipped[0].reason

    def test_cells_that_a_type_does_not_use_are_told(self):
        result = imported("type,text,tolerance,correct\ntext,?,5,x\n", "csv")
        assert [(each.line, each.column) for each in result.skipped] == [(2, 8)]

    cells = st.text(max_size=20).filter(lambda text: not UNREADABLE.search(text) and "\r" not in text)

    @given(st.lists(cells.filter(str.strip), min_size=1, max_size=5), st.sampled_from(",;\t"))
    def test_whatever_the_standard_library_writes_is_read(self, texts, delimiter):
        written = io.StringIO()
        writer = csv.writer(written, delimiter=delimiter, lineterminator="\n")
        writer.writerows([["type", "text", "notes"], *(["essay", text, "x"] for text in texts)])
        found = imported(written.getvalue(), "csv").questions
        assert [each.question.text.text for each in found] == [text.strip() for text in texts]


class TestMistakes:
    @pytest.mark.parametrize(
        ("source", "line", "column", "fragment"),
        [
            ("", 1, 1, "no questions"),
            ("type,text\n", 1, 1, "no questions"),
            ("text,correct\nq,1\n", 1, 1, "'type'"),
            ("a,b\n", 1, 1, "'type' and 'text'"),
            ("type,text,TEXT\nessay,q,r", 1, 11, "two columns"),
            ("type,text,question\nessay,q,r", 1, 11, "two columns"),
            ('type,text\nessay,"never closed\n', 2, 7, "never closed"),
            ('type,text\nessay,"a" b\n', 2, 10, "closing quotation mark"),
            ("type,text\nessay,a,b", 2, 9, "no column"),
            ("type,text\nquiz,a", 2, 1, "'quiz'"),
            ("type,text\n,a", 2, 1, "no type"),
            ("type,text\nessay,", 2, 1, "no text"),
            ("type,text,format\nessay,a,rtf", 2, 9, "'rtf'"),
            ("type,text,weight\nessay,a,0", 2, 9, "weight"),
            ("type,text,weight\nessay,a,0.0001", 2, 9, "weight"),
            ("type,text,weight\nessay,a,heavy", 2, 9, "'heavy'"),
            ("type,text,shuffle\nessay,a,perhaps", 2, 9, "true nor false"),
            ("type,text,name\nessay,a," + "n" * 256, 2, 1, "255"),
            ("type,text\nessay," + "n" * 16_001, 2, 7, "16000"),
            ("type,text,correct\ntruefalse,a,maybe", 2, 13, "'maybe'"),
            ("type,text,correct\ntruefalse,a", 2, 1, "neither"),
            ("type,text,option1,option2,correct\nsingle,q,a,b,3", 2, 14, "'3'"),
            ("type,text,option1,option2,correct\nsingle,q,a,b,", 2, 1, "no answer earns credit"),
            ("type,text,option1,option2,correct\nsingle,q,2,1,1", 2, 14, "option1"),
            ("type,text,option1,correct\nsingle,q,a,1", 2, 1, "at least 2"),
            ("type,text,option1,option2,credit2\nsingle,q,a,b,150", 2, 14, "100 %"),
            ("type,text,option1,option2,correct,credit3\nsingle,q,a,b,1,50", 2, 16, "option3"),
            ("type,text,correct\nnumeric,q,x", 2, 11, "'x'"),
            ("type,text,correct\nnumeric,q,5..3", 2, 11, "before it begins"),
            ("type,text,correct\nnumeric,q,5:-3", 2, 11, "negative"),
            ("type,text,correct,tolerance\nnumeric,q,5,y", 2, 13, "'y'"),
            ("type,text,correct\nnumeric,q,", 2, 11, "accepted"),
            ("type,text,correct\ntext,q,", 2, 8, "accepted"),
            ("type,text,correct\ntext,q," + "p" * 1001, 2, 8, "1000"),
            ("type,text,option1,option2\nmatching,q,a->b,c", 2, 17, "left -> right"),
            ("type,text,option1\nmatching,q,a->b", 2, 1, "two pairs"),
            ('type,text\nessay,"two\nlines"\nquiz,x', 4, 1, "'quiz'"),
            (",".join(f"c{i}" for i in range(401)), 1, 1891, "400 columns"),
        ],
    )
    def test_mistake_is_reported_at_its_cell(self, source, line, column, fragment):
        found = problems(source)
        assert found[-1][:2] == (line, column)
        assert fragment in found[-1][2]

    def test_all_mistakes_are_reported_at_once(self):
        source = "type,text,correct,weight\nquiz,a,,\nnumeric,b,x,y\nessay,c,,\ntruefalse,d,?,\n"
        assert [each[:2] for each in problems(source)] == [(2, 1), (3, 11), (3, 13), (5, 13)]

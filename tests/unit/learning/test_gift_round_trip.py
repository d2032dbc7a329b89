"""What is written as GIFT, every control character escaped, is read back as it was."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.learning.importing.findings import UNREADABLE
from shared.learning.importing.gift_text import WHITE_SPACE
from shared.learning.plain_text import folded_pattern
from shared.learning.questions import QuestionType
from tests.unit.learning.authored import answers, only, text_of


def escaped(text):
    for each in "\\~=#{}:":
        text = text.replace(each, "\\" + each)
    return text.replace("\n", "\\n")


def readable(text):
    return text == text.strip(WHITE_SPACE) != "" and "\r" not in text and not UNREADABLE.search(text)


lively = st.text(st.sampled_from("ab אבםש\u05b8\u200f~=#{}:\\n%*->[]/$.\n\t"), min_size=1, max_size=30)
texts = st.one_of(st.text(min_size=1, max_size=40), lively).filter(readable)
patterns = texts.filter(folded_pattern)
remarks = st.one_of(st.none(), texts)
percents = st.integers(-10_000_000, 10_000_000).map(lambda units: Decimal(units) / 100_000)
numbers = st.decimals(-10_000, 10_000, places=3)


def feedback(remark):
    return "" if remark is None else f"#[html]{escaped(remark)}"


def general(remark):
    return "" if remark is None else f"####[markdown]{escaped(remark)}"


def question(name, text, body, remark):
    return f"// a comment\n::{escaped(name)}::[plain]{escaped(text)} {{{body}{general(remark)}}}\n"


def weight(percent):
    return f"%{percent:f}%"


@given(texts, texts, remarks)
def test_texts_come_back(name, text, remark):
    found = only(question(name, text, "T", remark))
    assert found.question.text.text == text
    assert found.question.name == " ".join(name.split())[:255]
    assert text_of(found.answer_key.general_feedback) == remark


@given(
    st.dictionaries(texts, st.tuples(percents, remarks), min_size=2, max_size=8),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_choices_come_back(options, single, random):
    options[random.choice(list(options))] = (Decimal(100), None)
    options["wrong"] = (Decimal(0), None)  # without any ~ these would be short answers
    body = ""
    for text, (percent, remark) in options.items():
        marker = "=" if single and percent == 100 else f"~{weight(percent)}"
        body += f"\n  {marker}[plain]{escaped(text)}{feedback(remark)}"
    found = only(question("n", "t", body, None))
    assert answers(found) == options
    assert found.question.type == (QuestionType.SINGLE_CHOICE if single else QuestionType.MULTIPLE_CHOICE)


def no_arrow(text):
    return text is None or "->" not in text  # would make it a matching question, also in Moodle


@given(st.lists(st.tuples(patterns.filter(no_arrow), percents, remarks.filter(no_arrow)), max_size=8))
def test_short_answers_come_back(accepted):
    accepted.append(("right", Decimal(100), None))
    body = "".join(
        f"\n={weight(percent)}[plain]{escaped(text)}{feedback(remark)}" for text, percent, remark in accepted
    )
    assert answers(only(question("n", "t", body, None))) == accepted


@given(st.lists(st.tuples(numbers, numbers, percents, remarks), min_size=1, max_size=8), remarks)
def test_numbers_come_back(ranges, otherwise):
    ranges = [(min(low, high), max(low, high), percent, remark) for low, high, percent, remark in ranges]
    ranges.append((Decimal(1), Decimal(1), Decimal(100), None))
    body = "#" + "".join(
        f"\n={weight(percent)}{low}..{high}{feedback(remark)}" for low, high, percent, remark in ranges
    )
    found = only(question("n", "t", body + "\n~" + feedback(otherwise), None))
    assert answers(found) == ranges
    assert text_of(found.answer_key.key.otherwise) == otherwise


@given(
    st.lists(st.tuples(texts.filter(no_arrow), texts), min_size=2, max_size=8),
    st.sets(texts, max_size=3),
)
def test_pairs_come_back(pairs, spare):
    body = "".join(f"\n=[plain]{escaped(left)} -> [plain]{escaped(right)}" for left, right in pairs)
    body += "".join(f"\n= -> [plain]{escaped(right)}" for right in spare)
    found = only(question("n", "t", body, None))
    assert answers(found) == (pairs, spare - {right for _, right in pairs})


@given(st.booleans(), remarks, remarks)
def test_truth_comes_back(value, wrong, right):
    body = "TRUE" if value else "FALSE"
    if wrong is not None or right is not None:
        body += "#" + escaped(wrong or "")
    if right is not None:
        body += "#" + escaped(right)
    assert answers(only(question("n", "t", body, None))) == (value, right, wrong)

"""Shows an imported question as its author wrote it, so that tests need not know any id."""

from decimal import Decimal
from typing import Any

from shared.learning.importing.parsing import Imported, SourceForm, parse
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    ChoiceKey,
    KeyedQuestion,
    MatchingKey,
    NumericKey,
    Question,
    RichText,
    ShortTextKey,
    TrueFalseKey,
)


def imported(source: str, form: SourceForm = "gift", seed: str = "a seed") -> Imported:
    return parse(source, form, seed=seed)


def only(source: str, form: SourceForm = "gift") -> KeyedQuestion:
    """The question of a source that has exactly one and nothing to skip."""
    result = imported(source, form)
    assert result.skipped == ()
    (question,) = result.questions
    return question


def text_of(rich: RichText | None) -> str | None:
    return rich and rich.text


def percent(credit: int) -> Decimal:
    return Decimal(credit) * 100 / FULL_CREDIT


def answers(keyed: KeyedQuestion) -> Any:
    """What the key says, without ids and in an order that does not depend on them."""
    question, key = keyed.question, keyed.answer_key
    match key.key:
        case ChoiceKey(options=outcomes):
            assert set(outcomes) == {option.option_id for option in question.options}
            return {
                option.text.text: (
                    percent(outcomes[option.option_id].credit),
                    text_of(outcomes[option.option_id].feedback),
                )
                for option in question.options
            }
        case TrueFalseKey() as truth:
            return truth.value, text_of(truth.when_right), text_of(truth.when_wrong)
        case NumericKey(ranges=ranges):
            return [
                (each.minimum, each.maximum, percent(each.credit), text_of(each.feedback)) for each in ranges
            ]
        case ShortTextKey(patterns=patterns):
            return [(each.pattern, percent(each.credit), text_of(each.feedback)) for each in patterns]
        case MatchingKey():
            return _pairs(question, key)
        case _:
            return None


def _pairs(question: Question, key: AnswerKey) -> tuple[list[tuple[str, str]], set[str]]:
    """The pairs in the authored order, and the choices that belong to none."""
    choices = {choice.choice_id: choice.text.text for choice in question.choices}
    pairs = [(stem.text.text, choices[key.key.pairs[stem.stem_id]]) for stem in question.stems]
    return pairs, set(choices.values()) - {right for _, right in pairs}

"""Turns drafts into questions whose ids and order give nothing away, each with its key."""

from base64 import b32encode
from hashlib import sha256

from shared.learning.importing.drafts import Draft, derived_name
from shared.learning.questions import (
    AnswerKey,
    Choice,
    ChoiceKey,
    Key,
    KeyedQuestion,
    MatchingKey,
    Option,
    Outcome,
    Question,
    QuestionType,
    RichText,
    Stem,
)

_TOKEN_LENGTH = 11


def sealed(draft: Draft, index: int, *, seed: str) -> KeyedQuestion:
    """
    Return *draft* as a question, the *index*-th of its assignment, and its key.

    Ids depend on nothing but *seed* and positions. Options and choices are sorted by id, unless the
    author asked for the authored order; without the secret seed nobody can tell which came first.
    """
    question_id = _token("q", seed, index)
    options: tuple[Option, ...] = ()
    stems: tuple[Stem, ...] = ()
    choices: tuple[Choice, ...] = ()
    key: Key = draft.key
    match draft.type:
        case QuestionType.SINGLE_CHOICE | QuestionType.MULTIPLE_CHOICE:
            options, key = _choices(draft, seed, index)
        case QuestionType.MATCHING:
            stems, choices, key = _pairs(draft, seed, index)
        case _:
            pass
    question = Question(
        question_id=question_id,
        type=draft.type,
        name=draft.name or derived_name(draft.text, index),
        text=draft.text,
        category=draft.category,
        weight=draft.weight,
        options=options,
        stems=stems,
        choices=choices,
    )
    answer_key = AnswerKey(question_id=question_id, key=key, general_feedback=draft.general_feedback)
    return KeyedQuestion(question=question, answer_key=answer_key)


def _choices(draft: Draft, seed: str, index: int) -> tuple[tuple[Option, ...], ChoiceKey]:
    options = []
    outcomes = {}
    for position, option in enumerate(draft.options):
        option_id = _token("o", seed, index, position)
        options.append(Option(option_id=option_id, text=option.text))
        outcomes[option_id] = Outcome(credit=option.credit, feedback=option.feedback)
    if draft.shuffle:
        options.sort(key=lambda option: option.option_id)
    return tuple(options), ChoiceKey(options=dict(sorted(outcomes.items())))


def _pairs(draft: Draft, seed: str, index: int) -> tuple[tuple[Stem, ...], tuple[Choice, ...], MatchingKey]:
    choice_ids: dict[RichText, str] = {}
    for pair in draft.pairs:
        # Stems that share a text share the choice: a learner could not tell two apart.
        choice_ids.setdefault(pair.choice, _token("c", seed, index, len(choice_ids)))
    stems = []
    right_pairs = {}
    for position, (stem, choice) in enumerate(draft.pairs):
        if stem is not None:
            stem_id = _token("s", seed, index, position)
            stems.append(Stem(stem_id=stem_id, text=stem))
            right_pairs[stem_id] = choice_ids[choice]
    choices = [Choice(choice_id=choice_id, text=text) for text, choice_id in choice_ids.items()]
    if draft.shuffle:
        choices.sort(key=lambda choice: choice.choice_id)
    return tuple(stems), tuple(choices), MatchingKey(pairs=right_pairs)


def _token(kind: str, seed: str, *positions: int) -> str:
    name = "|".join([seed, kind, *map(str, positions)])
    return kind + b32encode(sha256(name.encode()).digest()).decode().lower()[:_TOKEN_LENGTH]

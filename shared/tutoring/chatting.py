"""
A conversation about one question: a ladder of hints that ends in the answer, and not before.

Each hint about one attempt is one rung further; the fourth explains everything, after an attempt: before the
first one the ladder ends at the third. The correct answer is told at once where that gives nothing away
(``may_be_told``). What was told is recorded as an event tied to the attempt, so that unaided answers can be
told from assisted ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from shared.learning.answers import event_id
from shared.learning.assignments import GradingPolicy
from shared.learning.attempts import Attempt, AttemptsPolicy
from shared.learning.facts import Digest, DocumentId, Fact
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    ChoiceKey,
    MatchingKey,
    NumericKey,
    Question,
    ShortTextKey,
    TrueFalseKey,
)
from shared.learning.responses import Response
from shared.tutoring.languages import Language, language_of
from shared.tutoring.leak_guard import leaks, secrets_of
from shared.tutoring.prompting import Messages, messages
from shared.tutoring.questions import plain_question, plain_response, plain_text
from shared.tutoring.redaction import redacted
from shared.tutoring.rendering import plain

PROMPT = "chat/v1"
MAX_TOKENS = 400
LAST_RUNG = 4
MAX_TURNS = 8

Rung = Annotated[int, Field(ge=1, le=LAST_RUNG)]
Intent = Literal["hint", "explain"]


class Turn(Fact):
    """Something that was said before, as the learner's page has it: quoted to the model, not believed."""

    speaker: Literal["learner", "tutor"]
    text: Annotated[str, StringConstraints(max_length=2000)]


class Assistance(Fact):
    """
    Help that was given, tied to the attempt; ``users/{uid}/assistance/{attempt}-{rung}``.

    ``eventId`` is null where nothing was answered yet; ``told`` says whether the answer could be told;
    ``promptVersion`` is empty where no model was asked.
    """

    attempt_id: Digest
    event_id: Digest | None
    assignment_id: DocumentId
    course_id: DocumentId
    question_id: DocumentId
    intent: Intent
    rung: Rung
    told: bool
    prompt_version: str
    at: str


def attempt_before_any(assignment_id: str, uid: str, question_id: str) -> str:
    """The id under which help is recorded before the first answer: no submission can have it."""
    return event_id(assignment_id, uid, question_id, "")


def may_be_told(attempts: Sequence[Attempt], policy: GradingPolicy) -> bool:
    """
    Whether telling the answer gives nothing away.

    That is so once an attempt had full credit, when all attempts are used, and where only the first counts.
    """
    if not attempts:
        return False
    if policy.attempts is AttemptsPolicy.FIRST:
        return True
    if policy.max_attempts is not None and len(attempts) >= policy.max_attempts:
        return True
    return any(each.credit == FULL_CREDIT for each in attempts)


@dataclass(frozen=True, slots=True)
class Answered:
    """The attempt that is talked about: its response, its credit, and what the author says to it."""

    event_id: str
    response: Response
    credit: int | None
    feedback: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Talk:
    """One turn of a conversation, decided: what is asked, how far the reply may go."""

    question: Question
    answer_key: AnswerKey
    intent: Intent
    rung: int
    may_tell: bool
    message: str = ""
    conversation: tuple[Turn, ...] = ()
    answered: Answered | None = None

    @property
    def language(self) -> Language:
        """The question's language; the learner's where the question has no words."""
        return language_of(plain_text(self.question.text), self.message)


def request(talk: Talk) -> Messages:
    """The messages for *talk*; of the key, the correct answer alone, and only where it may be told."""
    data: dict[str, Any] = {
        "question": plain_question(talk.question),
        "intent": talk.intent,
        "rung": talk.rung,
        "mayTell": talk.may_tell,
        "message": redacted(talk.message).text,
        "conversation": [
            {"speaker": each.speaker, "text": redacted(each.text).text} for each in talk.conversation
        ],
    }
    if talk.answered is not None:
        data["response"] = plain_response(talk.answered.response, talk.question)
        data["verdict"] = verdict(talk.answered.credit)
        data["authorsFeedback"] = list(talk.answered.feedback)
    if talk.may_tell:
        data["correctAnswer"] = correct_answer(talk.question, talk.answer_key)
    return messages(PROMPT, talk.language, data)


def verdict(credit: int | None) -> str:
    """What *credit* is in a word."""
    if credit is None:
        return "not graded yet"
    if credit >= FULL_CREDIT:
        return "right"
    return "partly right" if credit > 0 else "wrong"


def correct_answer(question: Question, key: AnswerKey) -> Any:
    """The answer that earns most, in words; None where a person grades."""
    match key.key:
        case ChoiceKey(options=outcomes):
            return [
                plain_text(each.text, 400)
                for each in question.options
                if each.option_id in outcomes and outcomes[each.option_id].credit > 0
            ]
        case TrueFalseKey(value=value):
            return value
        case NumericKey(ranges=ranges):
            best = max(ranges, key=lambda each: each.credit)
            middle = (best.minimum + best.maximum) / 2
            return format(middle.normalize(), "f")
        case ShortTextKey(patterns=patterns):
            return max(patterns, key=lambda each: each.credit).pattern
        case MatchingKey(pairs=pairs):
            stems = {each.stem_id: plain_text(each.text, 400) for each in question.stems}
            choices = {each.choice_id: plain_text(each.text, 400) for each in question.choices}
            return {stems[stem]: choices[choice] for stem, choice in pairs.items()}
    return None


_HELD_BACK: dict[Language, tuple[str, str, str]] = {
    "en": (
        "Read the question once more, word by word. What exactly is asked for?",
        "Which rule or fact from the lesson decides this question? Say it in your own words first.",
        "Take one step at a time: write down what you know, then what is missing, then how they connect.",
    ),
    "he": (
        "קראו שוב את השאלה, מילה במילה. מה בדיוק שואלים?",
        "איזה כלל או איזו עובדה מהשיעור מכריעים כאן? נסחו אותם קודם במילים שלכם.",
        "התקדמו צעד אחר צעד: רשמו מה ידוע, אחר כך מה חסר, ואז איך הם מתחברים.",
    ),
    "ar": (
        "اقرأ السؤال مرة أخرى كلمة كلمة. ما المطلوب بالضبط؟",
        "أي قاعدة أو حقيقة من الدرس تحسم هذا السؤال؟ قلها أولاً بكلماتك.",
        "تقدم خطوة خطوة: اكتب ما تعرفه، ثم ما ينقص، ثم كيف يرتبطان.",
    ),
}


def in_its_place(language: Language, rung: int) -> str:
    """What is said instead of a reply that would have given the answer away."""
    return _HELD_BACK[language][min(rung, 3) - 1]


_THE_ANSWER: dict[Language, str] = {
    "en": "The answer: {}",
    "he": "התשובה: {}",
    "ar": "الإجابة: {}",
}
_TRUE_AND_FALSE: dict[Language, tuple[str, str]] = {
    "en": ("true", "false"),
    "he": ("נכון", "לא נכון"),
    "ar": ("صحيح", "خطأ"),
}


def without_model(talk: Talk) -> str:
    """
    What can be said although no model is asked.

    That is what the author says to the answer; then the answer, where it may be told, or a prepared hint.
    """
    answer = correct_answer(talk.question, talk.answer_key) if talk.may_tell else None
    hint = in_its_place(talk.language, talk.rung)
    last = hint if answer is None else _THE_ANSWER[talk.language].format(_in_words(answer, talk.language))
    said = plain("\n".join([*(talk.answered.feedback if talk.answered is not None else ()), last]))
    if not talk.may_tell and leaks(said, secrets_of(talk.question, talk.answer_key)):
        return hint
    return said


def _in_words(answer: Any, language: Language) -> str:
    match answer:
        case bool():
            return _TRUE_AND_FALSE[language][not answer]
        case list():
            return ", ".join(answer)
        case dict():
            return "; ".join(f"{stem} – {choice}" for stem, choice in answer.items())
    return str(answer)

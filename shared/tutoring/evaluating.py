"""
Evaluating a written answer against a rubric: what is asked of the model, and what is believed of its reply.

The score is the sum of clamped criteria, computed here. A quotation that is not in the answer is
dropped. Whatever comes back is a suggestion for a teacher.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from unicodedata import normalize

from pydantic import Field, StringConstraints

from shared.caching.base import CacheUse
from shared.gateway.base import Ask, Reply
from shared.learning.answers import AnswerSubmitted, read_response
from shared.learning.facts import Digest, DocumentId, Fact, LearnerId
from shared.learning.questions import (
    AnswerKey,
    ManualKey,
    Question,
    QuestionType,
    ShortTextKey,
)
from shared.learning.responses import TextResponse
from shared.learning.rubrics import DEFAULT_RUBRIC, MAX_CRITERIA, Criterion, rubric_version
from shared.tutoring.chatting import in_its_place
from shared.tutoring.context import LearnerContext
from shared.tutoring.injection import suspicious
from shared.tutoring.languages import Direction, Language, direction_of, language_of
from shared.tutoring.leak_guard import Secrets, leaks, secrets_of, spoken
from shared.tutoring.prompting import Messages, messages
from shared.tutoring.questions import plain_question, plain_text
from shared.tutoring.redaction import redacted
from shared.tutoring.rendering import plain
from shared.tutoring.replies import Unusable, clamped, listed, read_object, strict_object, text_of

PROMPT = "evaluate_answer/v1"
MAX_TOKENS = 1200
EVALUATED = frozenset({QuestionType.ESSAY, QuestionType.SHORT_TEXT})

_A_FEW_WORDS = 80
_A_SENTENCE = 12
_MOST_EVIDENCE = 3
_LONGEST_EVIDENCE = 300
_LONGEST_COMMENT = 400
_LONGEST_FEEDBACK = 1500
_LONGEST_PATTERN = 80
_MOST_PATTERNS = 3
_DOUBTFUL_CONFIDENCE = 20

Flag = Literal[
    "suspicious", "redacted", "unsupported", "scoreMismatch", "answerWithheld", "canned", "smallModel"
]
"""
``suspicious``: the answer looks as if it spoke to the model. ``redacted``: personal data was taken out
before the model saw it. ``unsupported``: points without a passage of the answer. ``scoreMismatch``: the
model named points out of range. ``answerWithheld``: its feedback gave the answer away and was replaced.
``canned``: the built-in tutor made it, not a model. ``smallModel``: money was short, and a smaller model
than usual made it.
"""


class CriterionScore(Fact):
    """What one criterion came to; ``evidence`` are passages of the answer, word for word."""

    criterion_id: DocumentId
    title: Annotated[str, StringConstraints(max_length=120)]
    points: Annotated[int, Field(ge=0)]
    max_points: Annotated[int, Field(ge=1)]
    evidence: Annotated[tuple[str, ...], Field(max_length=_MOST_EVIDENCE)] = ()
    comment: Annotated[str, StringConstraints(max_length=_LONGEST_COMMENT)] = ""


class Evaluation(Fact):
    """
    A suggestion about one recorded answer; immutable, ``users/{uid}/evaluations/{evaluationId}``.

    ``points`` is the sum over the criteria; ``confidence`` is in percent.
    """

    evaluation_id: Digest
    event_id: Digest
    assignment_id: DocumentId
    course_id: DocumentId
    question_id: DocumentId
    student_id: LearnerId
    criteria: Annotated[tuple[CriterionScore, ...], Field(max_length=MAX_CRITERIA)]
    points: Annotated[int, Field(ge=0)]
    max_points: Annotated[int, Field(ge=1)]
    feedback: str
    language: Language
    dir: Direction
    confidence: Annotated[int, Field(ge=0, le=100)]
    error_patterns: tuple[str, ...]
    flags: tuple[Flag, ...]
    prompt_version: str
    rubric_version: str
    model: str
    evaluated_at: str

    @property
    def per_mille(self) -> int:
        """The points, of a thousand."""
        return self.points * 1000 // self.max_points


@dataclass(frozen=True, slots=True)
class Task:
    """One answer to be evaluated."""

    question: Question
    key: AnswerKey
    answer: str
    context: LearnerContext

    @property
    def shared(self) -> bool:
        """
        Whether its evaluation may serve other learners who answer the same: a few words, nothing personal.

        The learner context is left out of the prompt then.
        """
        short = self.question.type is QuestionType.SHORT_TEXT and len(self.answer) <= _A_FEW_WORDS
        return short and not redacted(self.answer).found

    @property
    def rubric(self) -> tuple[Criterion, ...]:
        """The author's rubric, or the default one."""
        return rubric_of(self.key)

    @property
    def language(self) -> Language:
        """The question's language."""
        return language_of(self.question.text.text, self.answer)


def written(event: AnswerSubmitted, question: Question) -> str:
    """What somebody wrote to a text question."""
    response = read_response(event.answer, question)
    return response.text if isinstance(response, TextResponse) else ""


def rubric_of(key: AnswerKey) -> tuple[Criterion, ...]:
    """The rubric by which answers under *key* are evaluated."""
    return getattr(key.key, "rubric", ()) or DEFAULT_RUBRIC


def evaluation_id(event_id: str, rubric: Sequence[Criterion]) -> str:
    """Name an evaluation by what it is of: the same answer, prompt and rubric are the same evaluation."""
    text = f"lectern.evaluation.v1\n{event_id}\n{PROMPT}\n{rubric_version(rubric)}"
    return hashlib.sha256(text.encode()).hexdigest()


def ask(
    task: Task,
    uid: str,
    *,
    kind: str = "evaluate_answer",
    deadline_seconds: float,
    one_model: bool = False,
) -> Ask:
    """What is asked about *task*, an answer of *uid*'s; the reply is kept for all where it may be."""
    parts = {
        "question": task.question.question_id,
        "prompt": PROMPT,
        "rubric": rubric_version(task.rubric),
    }
    shared = CacheUse("sharedEvaluation", {**parts, "level": "any"})
    return Ask(
        task=kind,
        model_class="large",
        messages=request(task),
        max_tokens=MAX_TOKENS,
        schema=schema(task.rubric),
        accept=lambda text: read(text, task),
        cache=shared if task.shared else CacheUse("evaluation", parts, uid),
        deadline_seconds=deadline_seconds,
        one_model=one_model,
    )


def request(task: Task) -> Messages:
    """The messages for *task*: nothing of other learners, nothing that says who this one is."""
    key = task.key.key
    data: dict[str, Any] = {
        "question": plain_question(task.question),
        "rubric": [each.model_dump(by_alias=True) for each in task.rubric],
        "answer": redacted(task.answer).text,
    }
    if isinstance(key, ManualKey) and key.notes is not None:
        data["notesForGraders"] = plain(key.notes.text, 4000)
    if isinstance(key, ShortTextKey):
        data["acceptedAnswers"] = [each.pattern for each in key.patterns if each.credit > 0]
    learner = None if task.shared else task.context.for_prompt()
    if learner is not None:
        data["learner"] = learner
    return messages(PROMPT, task.language, data)


def schema(rubric: Sequence[Criterion]) -> dict[str, Any]:
    """What the model's reply must look like, for strict structured output: ``criteria`` by their ids."""
    text = {"type": "string"}
    criterion = {
        "evidence": {"type": "array", "items": text},
        "comment": text,
    }
    return strict_object(
        {
            "criteria": strict_object(
                {
                    each.criterion_id: strict_object({"points": _whole(each.max_points), **criterion})
                    for each in rubric
                }
            ),
            "feedback": text,
            "errorPatterns": {"type": "array", "items": text},
            "confidence": _whole(100),
            "suspicious": {"type": "boolean"},
        }
    )


def _whole(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": most}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is believed of a model's reply."""

    criteria: tuple[CriterionScore, ...]
    feedback: str
    error_patterns: tuple[str, ...]
    confidence: int
    flags: tuple[Flag, ...]

    @property
    def points(self) -> int:
        """The sum over the criteria."""
        return sum(each.points for each in self.criteria)

    @property
    def max_points(self) -> int:
        """What could be had."""
        return sum(each.max_points for each in self.criteria)


def read(reply: str, task: Task) -> Judgement:
    """
    What is believed of *reply*: points within their range, quotations that are in the answer, plain text.

    Criteria that the rubric does not have are ignored.

    Raises:
        Unusable: it is no JSON object, or does not give points for every criterion.
    """
    value = read_object(reply)
    criteria, flags = _criteria(value.get("criteria"), task)
    if any(each.points and not each.evidence for each in criteria):
        flags.add("unsupported")
    if redacted(task.answer).found:
        flags.add("redacted")
    doubtful = suspicious(task.answer) or value.get("suspicious") is True
    if doubtful:
        flags.add("suspicious")
    confidence = clamped(value.get("confidence"), 0, 100) or 0
    patterns = (
        plain(text_of(each), _LONGEST_PATTERN).strip() for each in listed(value.get("errorPatterns"), 20)
    )
    return Judgement(
        criteria=criteria,
        feedback=plain(text_of(value.get("feedback")), _LONGEST_FEEDBACK),
        error_patterns=tuple(dict.fromkeys(each for each in patterns if each))[:_MOST_PATTERNS],
        confidence=min(confidence, _DOUBTFUL_CONFIDENCE) if doubtful else confidence,
        flags=tuple(sorted(flags)),
    )


def _criteria(given: object, task: Task) -> tuple[tuple[CriterionScore, ...], set[Flag]]:
    flags: set[Flag] = set()
    found = []
    for criterion in task.rubric:
        each = given.get(criterion.criterion_id) if isinstance(given, dict) else None
        stated = each.get("points") if isinstance(each, dict) else None
        points = clamped(stated, 0, criterion.max_points)
        if points is None or not isinstance(each, dict):
            raise Unusable("the model's reply does not cover the rubric")
        if points != stated:
            flags.add("scoreMismatch")
        found.append(
            CriterionScore(
                criterion_id=criterion.criterion_id,
                title=criterion.title,
                points=points,
                max_points=criterion.max_points,
                evidence=quoted(listed(each.get("evidence"), 20), task.answer),
                comment=plain(text_of(each.get("comment")), _LONGEST_COMMENT),
            )
        )
    return tuple(found), flags


def _notes(key: AnswerKey) -> frozenset[str]:
    """The sentences of the author's notes for graders, which the model had before it."""
    notes = key.key.notes if isinstance(key.key, ManualKey) else None
    sentences = re.split(r"[.;:!?\n]", plain_text(notes)) if notes is not None else ()
    return frozenset(said for said in map(spoken, sentences) if len(said) >= _A_SENTENCE)


def without_answer(judgement: Judgement, secrets: Secrets, task: Task) -> Judgement:
    """
    *judgement* without texts that give away what *secrets* keep, for a learner who may answer again.

    What the learner wrote themselves is no secret.
    """
    own = f" {spoken(task.answer)} "
    secrets = replace(secrets, texts=secrets.texts | _notes(task.key))
    secrets = replace(secrets, texts=frozenset(each for each in secrets.texts if f" {each} " not in own))
    given = [judgement.feedback, *(each.comment for each in judgement.criteria), *judgement.error_patterns]
    if not leaks("\n".join(given), secrets):
        return judgement
    return replace(
        judgement,
        criteria=tuple(each.model_copy(update={"comment": ""}) for each in judgement.criteria),
        feedback=in_its_place(task.language, 1),
        error_patterns=(),
        flags=tuple(sorted({*judgement.flags, "answerWithheld"})),
    )


def quoted(evidence: Sequence[object], answer: str) -> tuple[str, ...]:
    """Those of *evidence* that are passages of *answer*, apart from white space and composition."""
    whole = _even(answer)
    kept = []
    for each in evidence:
        passage = _even(text_of(each))[:_LONGEST_EVIDENCE]
        if passage and passage in whole and passage not in kept:
            kept.append(passage)
    return tuple(plain(each, _LONGEST_EVIDENCE) for each in kept[:_MOST_EVIDENCE])


@dataclass(frozen=True, slots=True)
class About:
    """Which recorded answer an evaluation is of."""

    event_id: str
    assignment_id: str
    course_id: str
    student_id: str


def evaluation(
    judgement: Judgement, task: Task, *, about: About, reply: Reply, evaluated_at: str
) -> Evaluation:
    """*judgement*, which was read from *reply*, as it is stored."""
    made = {"canned": reply.canned, "smallModel": reply.smaller}
    flags = {*judgement.flags, *(flag for flag, holds in made.items() if holds)}
    return Evaluation(
        evaluation_id=evaluation_id(about.event_id, task.rubric),
        event_id=about.event_id,
        assignment_id=about.assignment_id,
        course_id=about.course_id,
        question_id=task.question.question_id,
        student_id=about.student_id,
        criteria=judgement.criteria,
        points=judgement.points,
        max_points=judgement.max_points,
        feedback=judgement.feedback,
        language=task.language,
        dir=direction_of(task.language),
        confidence=judgement.confidence,
        error_patterns=judgement.error_patterns,
        flags=tuple(sorted(flags)),
        prompt_version=PROMPT,
        rubric_version=rubric_version(task.rubric),
        model=reply.model,
        evaluated_at=evaluated_at,
    )


def concluded(task: Task, reply: Reply, *, about: About, told: bool, evaluated_at: str) -> Evaluation:
    """
    The evaluation that *reply* comes to; where the answer may not be *told*, nothing gives it away.

    Raises:
        Unusable: as ``read``.
    """
    judgement = read(reply.text, task)
    if not told:
        judgement = without_answer(judgement, secrets_of(task.question, task.key), task)
    return evaluation(judgement, task, about=about, reply=reply, evaluated_at=evaluated_at)


def _even(text: str) -> str:
    return " ".join(normalize("NFC", text).split())

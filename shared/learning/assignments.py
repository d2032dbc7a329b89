"""What an assignment asks and by which rules it is graded."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated
from unicodedata import normalize

from pydantic import AfterValidator, Field, StringConstraints

from shared.errors import InvalidRequest
from shared.learning.answers import read_response, takes_answers
from shared.learning.attempts import AttemptsPolicy
from shared.learning.facts import DocumentId, Fact
from shared.learning.questions import GRADED_LATER, AnswerKey, Question

if TYPE_CHECKING:
    from shared.learning.grading import Grade, Grader

_DIRECTION_CONTROLS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def _plainly_directed(text: str) -> str:
    """*text*, composed, and without what would turn around the text that follows it on a page."""
    plain = normalize("NFC", text.translate(_DIRECTION_CONTROLS)).strip()
    if not plain:
        message = "a title has letters"
        raise ValueError(message)
    if len(plain) > _LONGEST_TITLE:  # some letters are composed of more characters than they had
        message = f"a title has {_LONGEST_TITLE} characters at most, composed"
        raise ValueError(message)
    return plain


_LONGEST_TITLE = 200
Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_LONGEST_TITLE, strip_whitespace=True),
    AfterValidator(_plainly_directed),
]


class GradingPolicy(Fact):
    """Which attempt counts, and how many there may be (None: any number)."""

    attempts: AttemptsPolicy = AttemptsPolicy.LAST
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None


class Assignment(Fact):
    """
    An assignment without its keys, as learners see it; all that accepting an answer needs.

    The form (its questions) never changes; a changed form is another version. ``tutor``: whether learners get
    hints and explanations about it.
    """

    assignment_id: DocumentId
    course_id: DocumentId
    title: Title
    form_version: int = 1
    policy: GradingPolicy = GradingPolicy()
    tutor: bool = True
    questions: tuple[Question, ...]

    @cached_property
    def by_id(self) -> dict[str, Question]:
        """The questions by their id."""
        return {question.question_id: question for question in self.questions}

    def question(self, question_id: str) -> Question:
        """
        The question of that id.

        Raises:
            InvalidRequest: this assignment has no such question.
        """
        question = self.by_id.get(question_id)
        if question is None:
            message = f"this assignment has no question {question_id!r}"
            raise InvalidRequest(message)
        return question


_REMEMBERED_GRADES = 20_000
"""Over all forms: some 6 MB of answers of a few words, 40 MB of the longest that are remembered."""

_REMEMBERED_CHARACTERS = 256


@dataclass(eq=False)
class Grading:
    """
    How answers to one form are graded: questions, keys (also compiled) and policy together.

    Classes answer alike, so the grades of short answers are remembered by question and answer text.
    """

    assignment_id: str
    questions: tuple[Question, ...]
    policy: GradingPolicy
    keys: Mapping[str, AnswerKey]
    graders: "tuple[Grader, ...]"

    def __post_init__(self) -> None:
        """Index the questions; weights are in thousandths of a point."""
        self.index = {question.question_id: i for i, question in enumerate(self.questions)}
        self.weights = [int(question.weight * 1000) for question in self.questions]
        self._remembered_characters = [
            -1 if question.type in GRADED_LATER else _REMEMBERED_CHARACTERS for question in self.questions
        ]

    @classmethod
    def of(cls, assignment: Assignment, keys: Mapping[str, AnswerKey]) -> "Grading":
        """Compile the *keys* (by question id) of *assignment*."""
        from shared.learning.grading import compile_grader  # accepting an answer grades nothing

        questions = tuple(question for question in assignment.questions if takes_answers(question))
        return cls(
            assignment_id=assignment.assignment_id,
            questions=questions,
            policy=assignment.policy,
            keys=keys,
            graders=tuple(compile_grader(question, keys[question.question_id]) for question in questions),
        )

    def grade(self, question: int, answer: str) -> "Grade":
        """
        Grade the response in *answer* (JSON) to the question of that index.

        Raises:
            InvalidRequest: it is not a response to that question.
        """
        if len(answer) <= self._remembered_characters[question]:
            return _remembered(self, question, answer)
        return _graded(self, question, answer)

    def question_index(self, question_id: str) -> int:
        """
        The index of the answerable question of that id.

        Raises:
            InvalidRequest: there is none.
        """
        found = self.index.get(question_id)
        if found is None:
            message = f"this assignment has no question {question_id!r} to answer"
            raise InvalidRequest(message)
        return found


def _graded(grading: Grading, question: int, answer: str) -> "Grade":
    return grading.graders[question](read_response(answer, grading.questions[question]))


_remembered = lru_cache(maxsize=_REMEMBERED_GRADES)(_graded)

"""Reads and writes courses, memberships and assignments, for a principal who may."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from shared.catalog.base import (
    ANSWER_KEYS,
    ASSIGNMENTS,
    COURSES,
    FORM_VERSION,
    AssignmentSummary,
    Course,
    CourseRole,
    Membership,
)
from shared.catalog.fresh import Fresh
from shared.documents.base import Create, Document, Documents, Find, Put, Replace
from shared.errors import InvalidRequest, NotAllowed, NotFound, PreconditionLost
from shared.identity.principal import Principal
from shared.learning.answers import canonical, takes_answers
from shared.learning.assignments import Assignment, Grading, GradingPolicy
from shared.learning.questions import AnswerKey, KeyedQuestion, Question

_ON_USE = ConfigDict(defer_build=True)
_QUESTIONS: TypeAdapter[tuple[Question, ...]] = TypeAdapter(tuple[Question, ...], config=_ON_USE)
_KEYS: TypeAdapter[tuple[AnswerKey, ...]] = TypeAdapter(tuple[AnswerKey, ...], config=_ON_USE)

_HEADER_FIELDS = ("courseId", "title", "formVersion", "policy", "shardBits", "tutorOff")
_FRESH_SECONDS = 30.0
_MOST_QUESTIONS = 24_000
"""Of forms, and of keys, that are remembered: a question and its key take about 8 KiB."""

_TRIES = 5


class _Header(NamedTuple):
    """An assignment and, as a hint, how finely its learners were divided when it was read."""

    assignment: Assignment
    shard_bits: int


class Asked(NamedTuple):
    """One question that takes answers, its assignment, and how it is graded; as it is, never for a client."""

    assignment: Assignment
    question: Question
    grading: Grading

    @property
    def key(self) -> AnswerKey:
        """The question's key."""
        return self.grading.keys[self.question.question_id]


class Catalog:
    """
    The courses and assignments that a principal may see or teach.

    What a principal may not know of is NotFound, exactly as if it did not exist. Courses, memberships
    and assignment headers may be up to 30 seconds old; forms and keys never change.
    """

    def __init__(
        self, documents: Documents, *, now: Callable[[], datetime], clock: Callable[[], float]
    ) -> None:
        """Keep them in *documents*; *clock* is monotonic, in seconds."""
        self._documents = documents
        self._now = now
        self._courses: Fresh[Course | None] = Fresh(_FRESH_SECONDS, clock)
        self._members: Fresh[Membership | None] = Fresh(_FRESH_SECONDS, clock)
        self._headers: Fresh[_Header | None] = Fresh(
            _FRESH_SECONDS, clock, room=_MOST_QUESTIONS, weigh=_questions_of_header
        )
        self._forms: Fresh[tuple[Question, ...]] = Fresh(float("inf"), clock, room=_MOST_QUESTIONS, weigh=len)
        self._gradings: Fresh[Grading] = Fresh(
            float("inf"), clock, room=_MOST_QUESTIONS, weigh=_questions_of_grading
        )

    async def create_course(self, principal: Principal, course: Course) -> None:
        """
        Create *course*, with *principal* as its teacher.

        Raises:
            NotAllowed: the principal is no teacher.
            Conflict: there is a course of that id.
        """
        if not principal.is_teacher:
            message = "only teachers create courses"
            raise NotAllowed(message)
        now = self._now()
        fields = {"title": course.title, "openEnrollment": course.open_enrollment, "createdAt": now}
        member = {"role": CourseRole.TEACHER.value, "joinedAt": now}
        await self._documents.commit(
            [
                Create(f"{COURSES}/{course.course_id}", fields),
                Create(_member_path(course.course_id, principal.uid), member),
            ]
        )
        self._courses.forget(course.course_id)
        self._members.forget((course.course_id, principal.uid))

    async def enroll(
        self,
        principal: Principal,
        course_id: str,
        learner_id: str,
        role: CourseRole,
        *,
        class_id: str | None = None,
    ) -> None:
        """
        Make *learner_id* a member of a course that *principal* teaches; again changes role and class.

        Raises:
            NotFound, NotAllowed: it is not the principal's course.
        """
        await self.course(principal, course_id, at_least=CourseRole.TEACHER)
        member = {"role": role.value, "joinedAt": self._now()}
        if class_id is not None:
            member["classId"] = class_id
        await self._documents.commit([Put(_member_path(course_id, learner_id), member)])
        self._members.forget((course_id, learner_id))

    async def course(self, principal: Principal, course_id: str, *, at_least: CourseRole) -> Course:
        """
        The course, for a principal who is a member of it.

        Raises:
            NotFound: there is none, or the principal has no part in it.
            NotAllowed: the principal is a student of it, and *at_least* is teacher.
        """
        course = await self._courses.get(course_id, lambda: self._read_course(course_id))
        if course is None:
            raise NotFound(_NO_COURSE)
        if course.open_enrollment and at_least is CourseRole.STUDENT:
            return course  # no membership to look for: a read less for every answer
        member = await self._membership(principal.uid, course_id)
        if member is None and not course.open_enrollment:
            raise NotFound(_NO_COURSE)
        if at_least is CourseRole.TEACHER and (member is None or member.role is not CourseRole.TEACHER):
            message = "only teachers of this course may do this"
            raise NotAllowed(message)
        return course

    async def class_of(self, uid: str, course_id: str) -> str:
        """The class in which a teacher put *uid*, in a course that they have a part in; or none: ""."""
        member = await self._membership(uid, course_id)
        return member.class_id if member is not None else ""

    async def _membership(self, uid: str, course_id: str) -> Membership | None:
        return await self._members.get((course_id, uid), lambda: self._read_membership(course_id, uid))

    async def _read_course(self, course_id: str) -> Course | None:
        [found] = await self._documents.get([f"{COURSES}/{course_id}"])
        if found is None:
            return None
        return Course(
            course_id=course_id, title=found.fields["title"], open_enrollment=found.fields["openEnrollment"]
        )

    async def _read_membership(self, course_id: str, uid: str) -> Membership | None:
        [found] = await self._documents.get([_member_path(course_id, uid)])
        if found is None:
            return None
        return Membership(CourseRole(found.fields["role"]), found.fields.get("classId", ""))

    async def add_assignment(
        self,
        principal: Principal,
        assignment: Assignment,
        keyed: tuple[KeyedQuestion, ...],
    ) -> None:
        """
        Store *assignment* with the keys of its questions: all of it or nothing.

        Raises:
            NotFound, NotAllowed: the principal does not teach its course.
            Conflict: there is an assignment of that id.
        """
        await self.course(principal, assignment.course_id, at_least=CourseRole.TEACHER)
        path = f"{ASSIGNMENTS}/{assignment.assignment_id}"
        keys = [each.answer_key for each in keyed]
        await self._documents.commit(
            [
                Create(
                    path,
                    {
                        "courseId": assignment.course_id,
                        "title": assignment.title,
                        "createdAt": self._now(),
                        "questionCount": len(assignment.questions),
                        "formVersion": assignment.form_version,
                        "policy": assignment.policy.model_dump(mode="json"),
                        **({} if assignment.tutor else {"tutorOff": True}),
                    },
                ),
                Create(
                    f"{path}/forms/{assignment.form_version}",
                    {"questions": _QUESTIONS.dump_python(assignment.questions, mode="json", by_alias=True)},
                ),
                Create(
                    f"{ANSWER_KEYS}/{assignment.assignment_id}",
                    {
                        "formVersion": assignment.form_version,
                        "keys": canonical(_KEYS.dump_python(tuple(keys), mode="json", by_alias=True)),
                    },
                ),
            ]
        )
        self._headers.forget(assignment.assignment_id)

    async def switch_tutor(self, principal: Principal, assignment_id: str, *, on: bool) -> None:
        """
        Let learners have the tutor's help with an assignment, or not; elsewhere within 30 seconds.

        Raises:
            NotFound, NotAllowed: the principal does not teach its course.
            PreconditionLost: the assignment kept changing; try again.
        """
        await self.assignment(principal, assignment_id, at_least=CourseRole.TEACHER)
        path = f"{ASSIGNMENTS}/{assignment_id}"
        for _ in range(_TRIES):
            [found] = await self._documents.get([path], only=["tutorOff"])
            if found is None:
                raise NotFound(_NO_ASSIGNMENT)
            if bool(found.fields.get("tutorOff")) is not on:
                break
            try:
                await self._documents.commit([Replace(path, {"tutorOff": not on}, found.version)])
            except PreconditionLost:
                continue  # the figures were rolled up meanwhile
            break
        else:
            message = "this assignment keeps changing"
            raise PreconditionLost(message)
        self._headers.forget(assignment_id)

    async def assignments(self, principal: Principal, course_id: str) -> list[AssignmentSummary]:
        """
        The assignments of a course, newest first; 500 at most.

        Raises:
            NotFound: it is not a course of the principal's.
        """
        await self.course(principal, course_id, at_least=CourseRole.STUDENT)
        found = await self._documents.find(
            Find(
                ASSIGNMENTS,
                where={"courseId": course_id},
                order=["-createdAt"],
                only=["title", "questionCount", "createdAt"],
                limit=500,
            )
        )
        return [
            AssignmentSummary(
                assignment_id=each.id, title=each.fields["title"], question_count=each.fields["questionCount"]
            )
            for each in found
        ]

    async def assignment(
        self, principal: Principal, assignment_id: str, *, at_least: CourseRole = CourseRole.STUDENT
    ) -> Assignment:
        """
        The assignment, without keys, for a principal of its course.

        Raises:
            NotFound: there is none, or the principal has no part in its course.
            NotAllowed: the principal is a student of it, and *at_least* is teacher.
        """
        try:
            assignment = await self._assignment(assignment_id)
            await self.course(principal, assignment.course_id, at_least=at_least)
        except NotFound:
            raise NotFound(_NO_ASSIGNMENT) from None
        return assignment

    async def shard_bits(self, assignment_id: str) -> int:
        """How finely the learners of an assignment are divided, as far as it is known here; a hint."""
        header = await self._header(assignment_id)
        return header.shard_bits if header is not None else 0

    async def unscoped_assignment(self, assignment_id: str) -> Assignment:
        """
        The assignment, for callers whom the platform itself vouches for: event functions, never a client.

        Raises:
            NotFound: there is none.
        """
        return await self._assignment(assignment_id)

    async def grading(self, assignment_id: str) -> Grading:
        """
        How answers to an assignment are graded; for merging and for feedback, never for a client.

        Raises:
            NotFound: there is no such assignment.
        """
        return await self._gradings.get(assignment_id, lambda: self._read_grading(assignment_id))

    async def asked(
        self,
        principal: Principal,
        assignment_id: str,
        question_id: str,
        *,
        at_least: CourseRole = CourseRole.STUDENT,
    ) -> Asked:
        """
        A question of an assignment that takes answers, for a principal of its course.

        Raises:
            NotFound, NotAllowed: as ``assignment``.
            InvalidRequest: the assignment has no such question, or it takes no answer.
        """
        assignment = await self.assignment(principal, assignment_id, at_least=at_least)
        question = assignment.question(question_id)
        if not takes_answers(question):
            message = "this question takes no answer"
            raise InvalidRequest(message)
        return Asked(assignment, question, await self.grading(assignment_id))

    async def _read_grading(self, assignment_id: str) -> Grading:
        # One round trip: a worker that meets a thousand assignments makes a thousand of these.
        path = f"{ASSIGNMENTS}/{assignment_id}"
        header, form, keys = await self._documents.get(
            [path, f"{path}/forms/{FORM_VERSION}", f"{ANSWER_KEYS}/{assignment_id}"]
        )
        if header is None or form is None or keys is None:
            raise NotFound(_NO_ASSIGNMENT)
        assignment = _assignment_of(header, _QUESTIONS.validate_python(form.fields["questions"]))
        return Grading.of(assignment, _keys_of(keys))

    async def _assignment(self, assignment_id: str) -> Assignment:
        header = await self._header(assignment_id)
        if header is None:
            raise NotFound(_NO_ASSIGNMENT)
        return header.assignment

    async def _header(self, assignment_id: str) -> _Header | None:
        return await self._headers.get(assignment_id, lambda: self._read_header(assignment_id))

    async def _read_header(self, assignment_id: str) -> _Header | None:
        # The form comes along where it is not known yet: a first answer waits for one round trip less.
        path = f"{ASSIGNMENTS}/{assignment_id}"
        also = [] if self._forms.knows((assignment_id, FORM_VERSION)) else [f"{path}/forms/{FORM_VERSION}"]
        [found, *forms] = await self._documents.get([path, *also], only=(*_HEADER_FIELDS, "questions"))
        if found is None:
            return None
        version = found.fields["formVersion"]
        form = forms[0] if forms and version == FORM_VERSION else None
        questions = await self._forms.get(
            (assignment_id, version), lambda: self._read_form(assignment_id, version, form)
        )
        return _Header(_assignment_of(found, questions), int(found.fields.get("shardBits") or 0))

    async def _read_form(
        self, assignment_id: str, version: int, form: Document | None
    ) -> tuple[Question, ...]:
        if form is None:
            [form] = await self._documents.get([f"{ASSIGNMENTS}/{assignment_id}/forms/{version}"])
        if form is None:
            raise NotFound(_NO_ASSIGNMENT)
        stored: Any = form.fields["questions"]
        return _QUESTIONS.validate_python(stored)


def _questions_of_header(header: _Header) -> int:
    return len(header.assignment.questions)


def _questions_of_grading(grading: Grading) -> int:
    return len(grading.keys)


_NO_COURSE = "there is no such course"
_NO_ASSIGNMENT = "there is no such assignment"


def _assignment_of(header: Document, questions: tuple[Question, ...]) -> Assignment:
    fields = header.fields
    return Assignment(
        assignment_id=header.id,
        course_id=fields["courseId"],
        title=fields["title"],
        form_version=fields["formVersion"],
        policy=GradingPolicy.model_validate(fields["policy"]),
        tutor=not fields.get("tutorOff"),
        questions=questions,
    )


def _keys_of(document: Document) -> dict[str, AnswerKey]:
    return {key.question_id: key for key in _KEYS.validate_json(document.fields["keys"])}


def _member_path(course_id: str, uid: str) -> str:
    return f"{COURSES}/{course_id}/members/{uid}"

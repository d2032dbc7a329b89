"""Courses and who is in them."""

import uuid

from shared.catalog.base import Course, CourseRole
from shared.edge import endpoint
from shared.edge.registry import Role
from shared.learning.assignments import Title
from shared.learning.facts import DocumentId, Fact, LearnerId


class CreateCourse(Fact):
    """A new course; with open enrolment, everybody who is signed in is a student of it."""

    title: Title
    open_enrollment: bool = False


class CourseCreated(Fact):
    """The new course's id."""

    course_id: DocumentId


class EnrollLearner(Fact):
    """
    Who becomes what, in which course.

    With ``classId`` in one of its classes, whose ceiling of money then applies to them; without, in none.
    """

    course_id: DocumentId
    learner_id: LearnerId
    role: CourseRole = CourseRole.STUDENT
    class_id: DocumentId | None = None


class LearnerEnrolled(Fact):
    """The membership as it is now."""

    course_id: DocumentId
    learner_id: LearnerId
    role: CourseRole
    class_id: DocumentId | None


@endpoint.client_call(role=Role.TEACHER)
async def create_course(command: CreateCourse, call: endpoint.Call) -> CourseCreated:
    """Create a course; the caller becomes its teacher."""
    course = Course(course_id=uuid.uuid4().hex, title=command.title, open_enrollment=command.open_enrollment)
    await call.services.catalog.create_course(call.principal, course)
    return CourseCreated(course_id=course.course_id)


@endpoint.client_call(sensitive=True)
async def enroll_learner(command: EnrollLearner, call: endpoint.Call) -> LearnerEnrolled:
    """Make somebody a member of a course that the caller teaches, or change what they are; safe to repeat."""
    await call.services.catalog.enroll(
        call.principal, command.course_id, command.learner_id, command.role, class_id=command.class_id
    )
    return LearnerEnrolled(
        course_id=command.course_id,
        learner_id=command.learner_id,
        role=command.role,
        class_id=command.class_id,
    )

"""
Courses, who is in them, and the assignments they hold.

- ``courses/{courseId}``: ``title``, ``openEnrollment``, ``createdAt``.
- ``courses/{courseId}/members/{uid}``: ``role`` (``student`` or ``teacher``), ``joinedAt``, and ``classId``
  where they are in one of the course's classes.
- ``assignments/{assignmentId}``: ``courseId``, ``title``, ``createdAt``, ``questionCount``,
  ``formVersion``, ``policy``, and ``tutorOff`` where the tutor was ever off; ``stats``, ``asOf`` and
  ``shardBits`` are written by the ledger.
- ``assignments/{assignmentId}/forms/{version}``: ``questions``, without keys.
- ``answerKeys/{assignmentId}``: ``formVersion`` and ``keys`` (JSON). No rule opens it; only grading reads it.
"""

from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field

from shared.learning.assignments import Title
from shared.learning.facts import DocumentId, Fact

COURSES = "courses"
ASSIGNMENTS = "assignments"
ANSWER_KEYS = "answerKeys"
FORM_VERSION = 1


class CourseRole(StrEnum):
    """What somebody is in a course."""

    STUDENT = "student"
    TEACHER = "teacher"


class Membership(NamedTuple):
    """What somebody is in a course, and in which of its classes, if in any."""

    role: CourseRole
    class_id: str = ""


class Course(Fact):
    """A course; with open enrolment, everybody who is signed in is a student of it."""

    course_id: DocumentId
    title: Title
    open_enrollment: bool = False


class AssignmentSummary(Fact):
    """An assignment, as a list shows it."""

    assignment_id: DocumentId
    title: Title
    question_count: Annotated[int, Field(ge=0)]

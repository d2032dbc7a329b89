"""Who may see and teach what, decided by the catalogue alone; and how long it believes what it read."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from shared.catalog.base import Course, CourseRole
from shared.catalog.catalog import Catalog
from shared.documents.base import Put, Replace
from shared.documents.memory import MemoryDocuments
from shared.errors import Conflict, InvalidRequest, NotAllowed, NotFound, PreconditionLost, Unavailable
from shared.identity.principal import Principal
from shared.learning.assignments import Assignment, GradingPolicy
from shared.learning.importing.parsing import parse

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MEMBER, TEACHER = CourseRole.STUDENT, CourseRole.TEACHER


def person(uid, role=""):
    return Principal(uid=uid, role=role, signed_in_at=NOW)


TESS, ANN, EVE = person("tess", "teacher"), person("ann"), person("eve", "teacher")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Catalogue:
    """A catalogue over documents in memory, whose reads are counted."""

    def __init__(self):
        self.documents = MemoryDocuments(before=self._count)
        self.clock = Clock()
        self.reads = []
        self.fail = None
        self.catalog = self.fresh()

    def fresh(self):
        return Catalog(self.documents, now=lambda: NOW, clock=self.clock)

    async def _count(self, operation):
        self.reads.append(operation)
        await asyncio.sleep(0)
        if self.fail:
            raise self.fail

    def read(self):
        reads, self.reads = self.reads, []
        return len(reads)


@pytest.fixture
async def school():
    school = Catalogue()
    await school.catalog.create_course(TESS, Course(course_id="closed", title="Closed"))
    await school.catalog.create_course(TESS, Course(course_id="open", title="Open", open_enrollment=True))
    await school.catalog.enroll(TESS, "closed", "ann", CourseRole.STUDENT)
    school.read()
    return school


async def refusal(awaitable):
    with pytest.raises((NotFound, NotAllowed)) as caught:
        await awaitable
    return type(caught.value), caught.value.message


async def add(
    school,
    course="closed",
    assignment_id="quiz",
    who=TESS,
    source="2 + 2 is {#4}\n\n1 + 1 is {#2}",
    **fields,
):
    keyed = parse(source, "gift", seed="s").questions
    assignment = Assignment(
        assignment_id=assignment_id,
        course_id=course,
        title="Quiz",
        policy=GradingPolicy(max_attempts=3),
        questions=tuple(each.question for each in keyed),
        **fields,
    )
    await school.catalog.add_assignment(who, assignment, keyed)
    return assignment


class TestCourses:
    async def test_a_course_has_its_creator_as_teacher(self, school):
        assert school.documents.dump()["courses/closed"] == {
            "title": "Closed",
            "openEnrollment": False,
            "createdAt": NOW,
        }
        assert school.documents.dump()["courses/closed/members/tess"] == {"role": "teacher", "joinedAt": NOW}
        assert school.documents.dump()["courses/open"]["openEnrollment"] is True

    async def test_only_teachers_create_courses(self, school):
        before = school.documents.dump()
        for who in (ANN, person("x", "student"), person("x", "Teacher")):
            kind, _ = await refusal(school.catalog.create_course(who, Course(course_id="mine", title="M")))
            assert kind is NotAllowed
        assert school.documents.dump() == before
        await school.catalog.create_course(person("x", "admin"), Course(course_id="mine", title="M"))

    async def test_an_id_is_taken_once(self, school):
        before = school.documents.dump()
        with pytest.raises(Conflict):
            await school.catalog.create_course(EVE, Course(course_id="closed", title="Mine now"))
        assert school.documents.dump() == before

    @pytest.mark.parametrize("at_least", [MEMBER, TEACHER])
    async def test_strangers_and_nobodys_courses_look_alike(self, school, at_least):
        stranger = await refusal(school.catalog.course(EVE, "closed", at_least=at_least))
        assert stranger == await refusal(school.catalog.course(EVE, "none", at_least=at_least))
        assert stranger == (NotFound, "there is no such course")

    async def test_members_see_and_teachers_teach(self, school):
        for who in (TESS, ANN):
            found = await school.catalog.course(who, "closed", at_least=MEMBER)
            assert found == Course(course_id="closed", title="Closed")
        await school.catalog.course(TESS, "closed", at_least=TEACHER)
        kind, _ = await refusal(school.catalog.course(ANN, "closed", at_least=TEACHER))
        assert kind is NotAllowed

    async def test_an_open_course_is_everybodys_to_see_and_its_teachers_to_teach(self, school):
        for who in (TESS, ANN, EVE):
            found = await school.catalog.course(who, "open", at_least=MEMBER)
            assert found.open_enrollment is True
        await school.catalog.course(TESS, "open", at_least=TEACHER)
        for who in (ANN, EVE):
            kind, _ = await refusal(school.catalog.course(who, "open", at_least=TEACHER))
            assert kind is NotAllowed

    async def test_an_open_course_costs_no_membership(self, school):
        await school.fresh().course(EVE, "open", at_least=MEMBER)
        assert school.read() == 1
        await school.fresh().course(ANN, "closed", at_least=MEMBER)
        assert school.read() == 2


class TestEnrolling:
    async def test_a_teacher_of_the_course_enrols(self, school):
        await school.catalog.enroll(TESS, "closed", "bob", CourseRole.STUDENT)
        assert school.documents.dump()["courses/closed/members/bob"] == {"role": "student", "joinedAt": NOW}
        await school.catalog.course(person("bob"), "closed", at_least=MEMBER)
        await school.catalog.enroll(TESS, "closed", "bob", CourseRole.TEACHER)
        await school.catalog.course(person("bob"), "closed", at_least=TEACHER)

    @pytest.mark.parametrize("course", ["closed", "open", "none"])
    @pytest.mark.parametrize("who", [ANN, EVE])
    async def test_nobody_else_does(self, school, course, who):
        before = school.documents.dump()
        await refusal(school.catalog.enroll(who, course, who.uid, CourseRole.TEACHER))
        assert school.documents.dump() == before

    async def test_a_demotion_is_known_at_once_where_it_was_made(self, school):
        await school.catalog.enroll(TESS, "closed", "bob", CourseRole.TEACHER)
        await school.catalog.course(person("bob"), "closed", at_least=TEACHER)
        await school.catalog.enroll(TESS, "closed", "bob", CourseRole.STUDENT)
        kind, _ = await refusal(school.catalog.course(person("bob"), "closed", at_least=TEACHER))
        assert kind is NotAllowed

    async def test_a_newcomer_is_let_in_at_once(self, school):
        assert (await refusal(school.catalog.course(EVE, "closed", at_least=MEMBER)))[0] is NotFound
        await school.fresh().enroll(TESS, "closed", "eve", CourseRole.STUDENT)
        await school.catalog.course(EVE, "closed", at_least=MEMBER)

    async def test_a_class_is_what_a_teacher_said_last(self, school):
        assert await school.catalog.class_of(ANN.uid, "closed") == ""
        for class_id in ("7b", "7c", None, "7b"):
            await school.catalog.enroll(TESS, "closed", "ann", CourseRole.STUDENT, class_id=class_id)
            assert await school.catalog.class_of(ANN.uid, "closed") == (class_id or "")
            stored = school.documents.dump()["courses/closed/members/ann"]
            assert stored == {"role": "student", "joinedAt": NOW} | (
                {"classId": class_id} if class_id else {}
            )
        assert await school.catalog.class_of(EVE.uid, "open") == ""
        assert await school.catalog.class_of(ANN.uid, "open") == ""

    async def test_a_class_comes_with_the_membership(self, school):
        await school.catalog.enroll(TESS, "closed", "ann", CourseRole.STUDENT, class_id="7b")
        catalog = school.fresh()
        await catalog.course(ANN, "closed", at_least=MEMBER)
        school.read()
        assert await catalog.class_of(ANN.uid, "closed") == "7b"
        assert school.read() == 0


class TestAssignments:
    async def test_an_assignment_is_three_documents_and_only_one_has_keys(self, school):
        await add(school)
        stored = {path: each for path, each in school.documents.dump().items() if "quiz" in path}
        assert set(stored) == {"assignments/quiz", "assignments/quiz/forms/1", "answerKeys/quiz"}
        assert stored["assignments/quiz"] == {
            "courseId": "closed",
            "title": "Quiz",
            "createdAt": NOW,
            "questionCount": 2,
            "formVersion": 1,
            "policy": {"attempts": "last", "maxAttempts": 3},
        }
        assert set(stored["answerKeys/quiz"]) == {"formVersion", "keys"}
        assert all("questionId" in each for each in json.loads(stored["answerKeys/quiz"]["keys"]))
        assert all("questionId" in each for each in stored["assignments/quiz/forms/1"]["questions"])
        assert set(stored["assignments/quiz/forms/1"]) == {"questions"}

    @pytest.mark.parametrize("course", ["closed", "open", "none"])
    @pytest.mark.parametrize("who", [ANN, EVE])
    async def test_only_the_courses_teachers_add_one(self, school, course, who):
        before = school.documents.dump()
        await refusal(add(school, course, who=who))
        assert school.documents.dump() == before

    async def test_its_tutor_is_switched_by_its_teachers_and_figures_stay(self, school):
        await add(school)
        before = school.documents.dump()
        assert (await school.catalog.assignment(ANN, "quiz")).tutor is True
        for who in (ANN, EVE):
            await refusal(school.catalog.switch_tutor(who, "quiz", on=False))
        await refusal(school.catalog.switch_tutor(TESS, "none", on=False))
        school.read()
        await school.catalog.switch_tutor(TESS, "quiz", on=True)
        assert (school.documents.dump(), school.read()) == (before, 1), "it was on already"
        for _ in range(2):
            await school.catalog.switch_tutor(TESS, "quiz", on=False)
            assert (await school.catalog.assignment(ANN, "quiz")).tutor is False
        after = school.documents.dump()
        assert after == {**before, "assignments/quiz": {**before["assignments/quiz"], "tutorOff": True}}
        await school.catalog.switch_tutor(TESS, "quiz", on=True)
        assert (await school.catalog.assignment(ANN, "quiz")).tutor is True

    async def test_a_roll_up_in_between_is_no_reason_not_to_switch(self, school):
        await add(school)
        working, rolled = school.documents._before, []

        async def roll_up(operation):
            await working(operation)
            if operation == "commit" and len(rolled) < 3:
                rolled.append(operation)
                school.documents._before = working
                [found] = await school.documents.get(["assignments/quiz"])
                figures = {"asOf": {"events": len(rolled)}}
                await school.documents.commit([Replace("assignments/quiz", figures, found.version)])
                school.documents._before = roll_up

        school.documents._before = roll_up
        await school.catalog.switch_tutor(TESS, "quiz", on=False)
        stored = school.documents.dump()["assignments/quiz"]
        assert (stored["tutorOff"], stored["asOf"]) == (True, {"events": 3})

    async def test_a_switch_is_one_read_and_one_write(self, school):
        await add(school)
        await school.catalog.assignment(TESS, "quiz")
        school.read()
        await school.catalog.switch_tutor(TESS, "quiz", on=False)
        assert school.read() == 2

    async def test_an_assignment_that_never_rests_is_not_switched(self, school):
        await add(school)
        working = school.documents._before

        async def roll_up(operation):
            await working(operation)
            if operation == "commit":
                school.documents._before = working
                [found] = await school.documents.get(["assignments/quiz"])
                await school.documents.commit(
                    [Replace("assignments/quiz", {"asOf": {"events": len(school.reads)}}, found.version)]
                )
                school.documents._before = roll_up

        school.documents._before = roll_up
        with pytest.raises(PreconditionLost, match="keeps changing"):
            await school.catalog.switch_tutor(TESS, "quiz", on=False)
        assert "tutorOff" not in school.documents.dump()["assignments/quiz"]

    async def test_what_is_gone_meanwhile_is_not_switched(self, school):
        await add(school)
        assert (await school.catalog.assignment(TESS, "quiz")).tutor is True
        await school.documents.delete_each(["assignments/quiz"])
        before = school.documents.dump()
        kind, message = await refusal(school.catalog.switch_tutor(TESS, "quiz", on=False))
        assert (kind, message) == (NotFound, "there is no such assignment")
        assert school.documents.dump() == before

    async def test_a_question_that_takes_answers_is_asked_with_its_key(self, school):
        added = await add(school, source="2 + 2 is {#4}\n\nA heading, and no question.")
        question, heading = added.questions
        asked = await school.catalog.asked(ANN, "quiz", question.question_id)
        assert (asked.assignment, asked.question) == (added, question)
        assert asked.key.question_id == question.question_id
        with pytest.raises(InvalidRequest, match="takes no answer"):
            await school.catalog.asked(ANN, "quiz", heading.question_id)

    async def test_one_without_a_tutor_is_stored_and_read_as_such(self, school):
        await add(school, tutor=False)
        assert school.documents.dump()["assignments/quiz"]["tutorOff"] is True
        assert (await school.fresh().assignment(ANN, "quiz")).tutor is False

    async def test_a_later_form_is_read_by_its_number(self, school):
        added = await add(school, form_version=2)
        assert "assignments/quiz/forms/2" in school.documents.dump()
        assert await school.fresh().assignment(ANN, "quiz") == added

    async def test_an_assignments_id_is_taken_once(self, school):
        await add(school)
        before = school.documents.dump()
        with pytest.raises(Conflict):
            await add(school, "open")
        assert school.documents.dump() == before

    async def test_members_read_it_as_it_was_added(self, school):
        added = await add(school)
        for who in (TESS, ANN):
            assert await school.fresh().assignment(who, "quiz") == added
        assert await school.fresh().assignment(TESS, "quiz", at_least=TEACHER) == added
        kind, _ = await refusal(school.fresh().assignment(ANN, "quiz", at_least=TEACHER))
        assert kind is NotAllowed

    @pytest.mark.parametrize("at_least", [MEMBER, TEACHER])
    async def test_a_strangers_assignment_looks_like_none(self, school, at_least):
        await add(school)
        theirs = await refusal(school.catalog.assignment(EVE, "quiz", at_least=at_least))
        assert theirs == await refusal(school.catalog.assignment(EVE, "none", at_least=at_least))
        assert theirs == (NotFound, "there is no such assignment")

    async def test_the_list_is_of_one_course_newest_first_for_its_members(self, school):
        await add(school)
        await add(school, "open", "other")
        await school.documents.commit(
            [
                Put(
                    "assignments/quiz",
                    {
                        **school.documents.dump()["assignments/quiz"],
                        "createdAt": datetime(2020, 1, 1, tzinfo=UTC),
                    },
                )
            ]
        )
        await add(school, "closed", "newer")
        found = await school.catalog.assignments(ANN, "closed")
        assert [(each.assignment_id, each.title, each.question_count) for each in found] == [
            ("newer", "Quiz", 2),
            ("quiz", "Quiz", 2),
        ]
        assert [each.assignment_id for each in await school.catalog.assignments(EVE, "open")] == ["other"]
        stranger = await refusal(school.catalog.assignments(EVE, "closed"))
        assert stranger == await refusal(school.catalog.assignments(EVE, "none"))

    async def test_what_the_platform_asks_needs_no_principal(self, school):
        added = await add(school)
        assert await school.fresh().unscoped_assignment("quiz") == added
        grading = await school.fresh().grading("quiz")
        assert grading.assignment_id == "quiz"
        assert grading.policy == added.policy
        assert set(grading.keys) == {each.question_id for each in added.questions}
        for missing in ("unscoped_assignment", "grading"):
            kind, message = await refusal(getattr(school.catalog, missing)("none"))
            assert (kind, message) == (NotFound, "there is no such assignment")

    async def test_an_assignment_without_its_form_is_none(self, school):
        await add(school)
        await school.documents.delete_each(["assignments/quiz/forms/1"])
        kind, message = await refusal(school.fresh().assignment(TESS, "quiz"))
        assert (kind, message) == (NotFound, "there is no such assignment")

    @pytest.mark.parametrize("part", ["assignments/quiz", "assignments/quiz/forms/1", "answerKeys/quiz"])
    async def test_an_assignment_that_lacks_a_part_is_not_graded(self, school, part):
        await add(school)
        await school.documents.delete_each([part])
        kind, message = await refusal(school.fresh().grading("quiz"))
        assert (kind, message) == (NotFound, "there is no such assignment")

    async def test_a_list_has_five_hundred_at_most(self, school):
        await add(school)
        fields = school.documents.dump()["assignments/quiz"]
        await school.documents.commit([Put(f"assignments/q{number}", fields) for number in range(300)])
        await school.documents.commit([Put(f"assignments/r{number}", fields) for number in range(300)])
        assert len(await school.catalog.assignments(ANN, "closed")) == 500

    async def test_how_finely_learners_are_divided_is_a_hint(self, school):
        await add(school)
        assert await school.catalog.shard_bits("quiz") == 0
        assert await school.catalog.shard_bits("none") == 0
        header = school.documents.dump()["assignments/quiz"]
        await school.documents.commit([Put("assignments/quiz", {**header, "shardBits": 4})])
        assert await school.fresh().shard_bits("quiz") == 4


class TestRemembering:
    async def test_for_half_a_minute_nothing_is_read_again(self, school, monkeypatch):
        await add(school)
        catalog = school.fresh()
        school.read()
        documents, get = [], school.documents.get

        async def counted(paths, **more):
            documents.extend(paths)
            return await get(paths, **more)

        monkeypatch.setattr(school.documents, "get", counted)
        await catalog.assignment(ANN, "quiz")
        assert school.read() == 3  # header with form, course, membership
        assert documents == [
            *("assignments/quiz", "assignments/quiz/forms/1"),
            *("courses/closed", "courses/closed/members/ann"),
        ]
        school.clock.now += 29.9
        await catalog.assignment(ANN, "quiz")
        assert school.read() == 0
        school.clock.now += 0.1
        await catalog.assignment(ANN, "quiz")
        assert school.read() == 3
        assert documents.count("assignments/quiz/forms/1") == 1  # the form never changes

    async def test_a_removed_member_is_out_after_half_a_minute(self, school):
        await school.catalog.course(ANN, "closed", at_least=MEMBER)
        await school.documents.delete_each(["courses/closed/members/ann"])
        school.clock.now += 30
        assert (await refusal(school.catalog.course(ANN, "closed", at_least=MEMBER)))[0] is NotFound

    async def test_that_something_was_missing_is_not_remembered(self, school):
        await refusal(school.catalog.course(EVE, "closed", at_least=MEMBER))
        school.read()
        await refusal(school.catalog.course(EVE, "closed", at_least=MEMBER))
        assert school.read() == 1
        await refusal(school.catalog.assignment(ANN, "quiz"))
        await add(school)
        await school.catalog.assignment(ANN, "quiz")

    async def test_an_outage_is_not_remembered(self, school):
        catalog = school.fresh()
        school.fail = Unavailable("down")
        with pytest.raises(Unavailable):
            await catalog.course(ANN, "closed", at_least=MEMBER)
        school.fail = None
        await catalog.course(ANN, "closed", at_least=MEMBER)

    async def test_those_who_ask_together_share_a_read(self, school):
        catalog = school.fresh()
        school.read()
        await asyncio.gather(*(catalog.course(ANN, "closed", at_least=MEMBER) for _ in range(20)))
        assert school.read() == 2

    async def test_one_who_goes_away_takes_nothing_from_the_others(self, school):
        catalog = school.fresh()
        first = asyncio.create_task(catalog.course(ANN, "closed", at_least=MEMBER))
        second = asyncio.create_task(catalog.course(ANN, "closed", at_least=MEMBER))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).title == "Closed"
        third = asyncio.create_task(school.fresh().course(ANN, "closed", at_least=MEMBER))
        await asyncio.sleep(0)
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third

    async def test_no_more_than_two_thousand_are_remembered(self, school):
        catalog = school.fresh()
        await catalog.course(ANN, "closed", at_least=MEMBER)
        for number in range(2000):
            await refusal(catalog.course(ANN, f"none{number}", at_least=MEMBER))
        assert len(catalog._courses) == 2000
        school.read()
        await catalog.course(ANN, "closed", at_least=MEMBER)
        assert school.read() == 1  # the course, which had been forgotten; the membership was not

    async def test_assignments_take_room_by_their_questions(self, school):
        await add(school)
        catalog = school.fresh()
        grading = await catalog.grading("quiz")
        await catalog.assignment(TESS, "quiz", at_least=TEACHER)
        remembered = catalog._gradings, catalog._headers, catalog._forms
        assert len(grading.questions) > 1
        assert [each._taken for each in remembered] == [len(grading.questions)] * 3

    async def test_a_course_created_anew_is_seen_by_whoever_created_it(self, school):
        await refusal(school.catalog.course(TESS, "new", at_least=MEMBER))
        await school.catalog.create_course(TESS, Course(course_id="new", title="New"))
        assert (await school.catalog.course(TESS, "new", at_least=TEACHER)).title == "New"

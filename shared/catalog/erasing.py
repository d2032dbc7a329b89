"""Where courses name learners and teachers: as members. What authors wrote is the course's, and stays."""

from shared.catalog.base import COURSES
from shared.documents.base import Delete, Document, Documents, Find
from shared.documents.erasing import Named, Step, counted, following

_COURSES = 300
_MEMBERS = 300


class Members:
    """Memberships in all courses, at a read for each course: the uid is the membership's id."""

    name = "members"
    acts = False

    def __init__(self, documents: Documents) -> None:
        """Remove them from *documents*."""
        self._documents = documents

    async def step(self, learner_id: str, after: str | None) -> Step:
        """See the port: some hundred courses."""
        courses = await self._courses(after, _COURSES)
        paths = [f"{COURSES}/{each.id}/members/{learner_id}" for each in courses]
        found = await self._documents.get(paths, only=["role"])
        writes = [Delete(each.path) for each in found if each is not None]
        return Step(writes, counted(self.name, len(writes)), following(courses, _COURSES))

    async def learners(self, after: str | None) -> Named:
        """See the port: some members of one course; a cursor is a course and, behind a slash, a member."""
        course_id, _, last = (after or "/").partition("/")
        if not last:
            courses = await self._courses(course_id or None, 1)
            if not courses:
                return Named()
            course_id = courses[0].id
        page = await self._documents.scan(
            f"{COURSES}/{course_id}/members", after=last or None, limit=_MEMBERS
        )
        return Named(frozenset(each.id for each in page), f"{course_id}/{following(page, _MEMBERS) or ''}")

    async def _courses(self, after: str | None, limit: int) -> list[Document]:
        last = Document(f"{COURSES}/{after}", {}, (0, 0)) if after else None
        return await self._documents.find(Find(COURSES, only=["openEnrollment"], after=last, limit=limit))

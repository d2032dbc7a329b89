"""The demo course: its people, its question set, brought in by the functions a teacher would use."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from local.emulators import Emulators

COURSE_ID = "demo-course"
COURSE_TITLE = "Lectern demo course"
PASSWORD = "lectern-demo"  # noqa: S105  printed on the banner, of accounts in a local emulator
API_KEY = "demo-api-key"
QUESTIONS = Path(__file__).with_name("demo") / "demo_assignment.gift"
QUESTIONS_TITLE = "A first assignment"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A person of the demo course."""

    uid: str
    email: str
    name: str
    role: str


TEACHER = Account(uid="demo-teacher", email="teacher@example.com", name="Dana Levi", role="teacher")
STUDENTS = (
    Account(uid="demo-student-1", email="student1@example.com", name="Noa Cohen", role="student"),
    Account(uid="demo-student-2", email="student2@example.com", name="Amir Haddad", role="student"),
    Account(uid="demo-student-3", email="student3@example.com", name="Maya Friedman", role="student"),
    Account(uid="demo-student-4", email="student4@example.com", name="Jonas Weber", role="student"),
)
ACCOUNTS = (TEACHER, *STUDENTS)

_OWNER = {"authorization": "Bearer owner"}
_IDENTITY = "identitytoolkit.googleapis.com/v1"


class NotSeeded(Exception):
    """A step of the seeding was refused; the message says which and why."""


class DemoCourse:
    """Fills fresh emulators."""

    def __init__(self, client: httpx.AsyncClient, emulators: Emulators, project: str, functions: str) -> None:
        self._client = client
        self._auth = f"http://{emulators.auth}/{_IDENTITY}"
        self._documents = f"http://{emulators.firestore}/v1/projects/{project}/databases/(default)/documents"
        self._project = project
        self._functions = functions

    async def create_accounts(self) -> None:
        """Everybody's account; the teacher's carries the claim that lets them create courses."""
        accounts = f"{self._auth}/projects/{self._project}/accounts"
        for account in ACCOUNTS:
            new = {
                "localId": account.uid,
                "email": account.email,
                "password": PASSWORD,
                "displayName": account.name,
                "emailVerified": True,
            }
            await self._post(accounts, new)
        claims = {"localId": TEACHER.uid, "customAttributes": json.dumps({"role": "teacher"})}
        await self._post(f"{accounts}:update", claims)

    async def create_course(self) -> None:
        """
        The course, open to everyone who signs in, and its teacher.

        Written directly because create_course() chooses ids of its own, and this one is well known.
        """
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        course = {
            "title": {"stringValue": COURSE_TITLE},
            "openEnrollment": {"booleanValue": True},
            "createdAt": {"timestampValue": now},
        }
        await self._create(f"courses/{COURSE_ID}", course)
        for account in ACCOUNTS:
            member = {"role": {"stringValue": account.role}, "joinedAt": {"timestampValue": now}}
            await self._create(f"courses/{COURSE_ID}/members/{account.uid}", member)

    async def import_questions(self) -> int:
        """The demo question set, through import_assignment() as the teacher; return how many they are."""
        session = {"email": TEACHER.email, "password": PASSWORD, "returnSecureToken": True}
        signed_in = await self._post(f"{self._auth}/accounts:signInWithPassword?key={API_KEY}", session)
        reply = await self._post(
            f"{self._functions}/import_assignment",
            {
                "courseId": COURSE_ID,
                "title": QUESTIONS_TITLE,
                "format": "gift",
                "source": QUESTIONS.read_text(encoding="utf-8"),
            },
            authorization=f"Bearer {signed_in['idToken']}",
        )
        return len(reply["questions"])

    async def _create(self, path: str, fields: dict[str, Any]) -> None:
        parent, _, name = path.rpartition("/")
        await self._post(f"{self._documents}/{parent}?documentId={name}", {"fields": fields})

    async def _post(
        self, url: str, content: dict[str, Any], *, authorization: str = _OWNER["authorization"]
    ) -> dict[str, Any]:
        reply = await self._client.post(
            url, json=content, headers={"authorization": authorization}, timeout=60
        )
        if not reply.is_success:
            message = f"POST {url} was answered with {reply.status_code}: {reply.text[:2000]}"
            raise NotSeeded(message)
        answer: dict[str, Any] = reply.json()
        return answer

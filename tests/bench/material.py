"""What the measurements work on: assignments, answers, tokens, a ledger."""

import base64
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import httpx

from shared.catalog.catalog import Catalog
from shared.documents.base import Create
from shared.documents.firestore import FirestoreDocuments
from shared.learning.answers import AnswerSubmitted
from shared.learning.assignments import Assignment
from shared.learning.questions import (
    FULL_CREDIT,
    AnswerKey,
    ChoiceKey,
    KeyedQuestion,
    Option,
    Outcome,
    Question,
    QuestionType,
    RichText,
)
from shared.ledger.merging import Merger, MergeSettings
from shared.ledger.tombstones import Tombstones

QUESTIONS = 20
OPTIONS = "abcd"


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def project() -> str:
    """A project nobody else uses."""
    return f"demo-{uuid.uuid4().hex[:12]}"


def documents(emulators: dict[str, str], name: str) -> FirestoreDocuments:
    """The store of the project of that *name*."""
    host = emulators["FIRESTORE_EMULATOR_HOST"]
    return FirestoreDocuments(project=name, database="(default)", emulator_host=host)


async def assignment(
    store: FirestoreDocuments, assignment_id: str = "exam", questions: int = QUESTIONS
) -> str:
    """Store an assignment of single choice questions in an open course."""
    text = RichText(text="?")
    keyed = tuple(
        KeyedQuestion(
            question=Question(
                question_id=f"q{n}",
                type=QuestionType.SINGLE_CHOICE,
                name=f"q{n}",
                text=text,
                options=tuple(Option(option_id=each, text=text) for each in OPTIONS),
            ),
            answer_key=AnswerKey(
                question_id=f"q{n}", key=ChoiceKey(options={"a": Outcome(credit=FULL_CREDIT)})
            ),
        )
        for n in range(questions)
    )
    asked = Assignment(
        assignment_id=assignment_id,
        course_id="course",
        title="Exam",
        questions=tuple(each.question for each in keyed),
    )
    await store.create_each(
        [Create("courses/course", {"title": "Course", "openEnrollment": True, "createdAt": now()})]
    )
    await store.create_each(
        [Create("courses/course/members/teacher", {"role": "teacher", "joinedAt": now()})]
    )
    from shared.identity.principal import Principal

    teacher = Principal(uid="teacher", role="teacher", signed_in_at=now())
    await catalog(store).add_assignment(teacher, asked, keyed)
    return assignment_id


def catalog(store: FirestoreDocuments) -> Catalog:
    """A catalog over *store*."""
    return Catalog(store, now=now, clock=time.monotonic)


def merger(store: FirestoreDocuments, **settings: float) -> Merger:
    """A worker over *store*."""
    return Merger(
        store,
        grading_of=catalog(store).grading,
        now=now,
        tombstones=Tombstones(store, key=b"a key for the bench", clock=time.monotonic),
        settings=MergeSettings(**settings),
    )


def answers(
    count: int, assignment_id: str = "exam", *, questions: int = QUESTIONS, first: int = 0
) -> list[AnswerSubmitted]:
    """*count* different answers from the *first* on: students one after the other, every question each."""
    began = 1_790_000_000_000_000
    return [
        AnswerSubmitted(
            assignment_id,
            f"q{n % questions}",
            f"student-{n // questions:07}-{'x' * 12}",
            f"submission-{n:08}",
            f'{{"optionId":"{OPTIONS[(n * 7 + n // questions) % 4]}"}}',
            began + n,
            "function",
        )
        for n in range(first, first + count)
    ]


def tokens(env: Mapping[str, str], project: str, uids: Iterable[str]) -> list[str]:
    """Open accounts for *uids* in the Auth emulator; an ID token of each."""
    uids = list(uids)
    url = f"http://{env['FIREBASE_AUTH_EMULATOR_HOST']}/identitytoolkit.googleapis.com/v1/projects/{project}"
    for start in range(0, len(uids), 1000):
        users = [{"localId": uid} for uid in uids[start : start + 1000]]
        opened = httpx.post(
            f"{url}/accounts:batchCreate",
            json={"users": users},
            headers={"Authorization": "Bearer owner"},
            timeout=60,
        )
        assert opened.is_success, opened.text
        assert not opened.json().get("error"), opened.text
    return [_token(project, uid) for uid in uids]


def _token(name: str, uid: str) -> str:
    """An ID token as the Auth emulator makes them."""
    at = int(time.time())
    claims = {
        "iss": f"https://securetoken.google.com/{name}",
        "aud": name,
        "sub": uid,
        "iat": at,
        "exp": at + 3600,
        "auth_time": at,
        "firebase": {"sign_in_provider": "password"},
    }
    return ".".join([_segment({"alg": "none", "typ": "JWT"}), _segment(claims), ""])


def _segment(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

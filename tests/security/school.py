"""Two schools' worth of strangers over the deployed functions, with tokens of our own RS256 key."""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt

import main
from shared import wiring
from shared.documents.memory import MemoryDocuments
from shared.edge.registry import ClientCall, Deployment, deployments
from shared.identity.accounts import Account, Accounts
from shared.identity.firebase import FirebaseIdentity
from shared.tutoring.evaluating import PROMPT, CriterionScore, Evaluation
from shared.tutoring.generating import Skeleton, SkeletonLesson, SkeletonStep
from shared.wiring import Services
from tests.deployed import Deployed, replace, settings_for_tests
from tests.erasing import StatedArchive
from tests.signing import ACCOUNT, AUDIENCE, KEY, OTHER_KEY, PROJECT, CertificateServer
from tests.tutoring import FixedGateway

QUIZ = """
::choice:: Which is the capital of France? {=Paris#well done ~Lyon#no ~Nice}

::several:: Which are even? {~%50%two ~%50%four ~%-100%three}

::number:: 2 + 2 is {#4:0.5}

::truth:: The Earth is round. {T}

::word:: The opposite of "no" is {=yes =%50%yep}

::pairs:: Match {=dog -> barks =cat -> meows =cow -> moos}

::essay:: Tell me everything. {}
"""
"""One question of each type."""


class Directory:
    """Everybody has an account; Rita's sessions were revoked a minute ago, and Dov's account is disabled."""

    def look_up(self, uids: Any) -> dict[str, Account]:
        since = {"rita": time.time() - 60}
        return {uid: Account(since.get(uid, 0.0), disabled=uid == "dov") for uid in uids}

    def delete(self, uid: str) -> bool:
        return False

    def uids(self, token: str) -> tuple[list[str], str]:
        return [], ""

    def close(self) -> None:
        pass


def signed_identity(project: str = PROJECT) -> FirebaseIdentity:
    """Identity as it is in production, with our own key where Google's would be."""
    identity = FirebaseIdentity(
        project=project,
        events_audiences=[AUDIENCE],
        events_accounts=[ACCOUNT],
        now=time.time,
        accounts=Accounts(Directory(), now=time.time),
    )
    identity.__dict__["_request"] = CertificateServer()
    return identity


def id_token(uid: str, *, key: Any = KEY, algorithm: str = "RS256", **changes: Any) -> str:
    """An ID token as Firebase Auth signs it."""
    now = int(time.time())
    claims = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": uid,
        "iat": now - 10,
        "exp": now + 3600,
        "auth_time": now - 10,
        **changes,
    }
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k1"})


_TOKENS: dict[str, str] = {}


@dataclass(frozen=True)
class Caller:
    """Somebody who calls, and what they are in the three courses; *signed_in* says whether it is proven."""

    name: str
    uid: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    signed_in: bool = True
    forgery: str = ""
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def teaches(self) -> bool:
        """Whether the token says so."""
        return self.claims.get("role") in {"teacher", "admin"}

    @property
    def is_admin(self) -> bool:
        """Whether the token says so."""
        return self.claims.get("role") == "admin"

    def token(self) -> str:
        """What this caller sends, if anything."""
        if self.name not in _TOKENS:
            _TOKENS[self.name] = self._signed()
        return _TOKENS[self.name]

    def _signed(self) -> str:
        now = int(time.time())
        match self.forgery:
            case "expired":
                return id_token(self.uid, **self.claims, iat=now - 7200, auth_time=now - 7200, exp=now - 60)
            case "revoked":
                return id_token(self.uid, **self.claims, iat=now - 120, auth_time=now - 120)
            case "other key":
                return id_token(self.uid, key=OTHER_KEY, **self.claims)
            case "alg none":
                return id_token(self.uid, key=None, algorithm="none", **self.claims)
        return id_token(self.uid, **self.claims) if self.uid else ""


TEACHER = {"role": "teacher"}
OWN = {"own": "teacher", "open": "student"}

CALLERS = {
    each.name: each
    for each in (
        Caller("anonymous", signed_in=False),
        Caller("expired", "tess", TEACHER, signed_in=False, forgery="expired"),
        Caller("forged signature", "tess", TEACHER, signed_in=False, forgery="other key"),
        Caller("alg none", "tess", TEACHER, signed_in=False, forgery="alg none"),
        Caller("revoked", "rita", TEACHER, signed_in=False, forgery="revoked", parts=OWN),
        Caller("disabled", "dov", TEACHER, signed_in=False, forgery="revoked", parts=OWN),
        Caller("student of another course", "oda", parts={"other": "student", "open": "student"}),
        Caller("fellow student", "ben", parts={"own": "student", "open": "student"}),
        Caller("teacher of another course", "otto", TEACHER, parts={"other": "teacher", "open": "teacher"}),
        Caller("fresh teacher", "fay", TEACHER, parts={"open": "student"}),
        # Those who may, without whom a table of refusals would prove nothing.
        Caller("the course's student", "ann", parts={"own": "student", "open": "student"}),
        Caller("the course's teacher", "tess", TEACHER, parts={"own": "teacher", "open": "student"}),
        Caller("admin", "ada", {"role": "admin"}, parts={"open": "student"}),
    )
}


@dataclass
class School:
    """The functions, and three courses in them: ``own``, ``other`` (both closed) and ``open``."""

    app: Deployed
    courses: dict[str, str] = field(default_factory=dict)
    forms: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipt: str = ""
    cursor: str = ""
    evaluations: dict[str, str] = field(default_factory=dict)
    skeletons: dict[str, str] = field(default_factory=dict)
    pilots: dict[str, str] = field(default_factory=dict)
    erasure: str = ""
    erasure_receipt: str = ""

    def question(self, course: str, name: str) -> dict[str, Any]:
        """One question of a course's assignment."""
        return next(each for each in self.forms[course]["questions"] if each["name"] == name)

    async def call(self, function: str, request: Any, who: Caller) -> httpx.Response:
        """Call as *who*, plainly."""
        headers = {"content-type": "application/json"}
        if token := who.token():
            headers["authorization"] = f"Bearer {token}"
        return await self.app.post(function, json.dumps(request).encode(), headers)


async def filled(app: Deployed) -> School:
    """A school with two assignments' worth of answers."""
    school = School(app)
    for course, teacher in (("own", "tess"), ("other", "otto"), ("open", "otto")):
        made = await app.course(teacher, open_enrollment=course == "open")
        school.courses[course] = made
        school.forms[course] = await app.imported(QUIZ, course_id=made, teacher=teacher)
    for former in ("rita", "dov"):  # they would be let in, if nobody asked whether their accounts stand
        enroll = {"courseId": school.courses["own"], "learnerId": former, "role": "teacher"}
        await app.ok("enroll_learner", enroll, uid="tess", role="teacher")
    for course, teacher, learners in (("own", "tess", ("ann", "ben")), ("other", "otto", ("oda",))):
        for learner in learners:
            enroll = {"courseId": school.courses[course], "learnerId": learner}
            await app.ok("enroll_learner", enroll, uid=teacher, role="teacher")
            answer = {
                "assignmentId": school.forms[course]["assignmentId"],
                "questionId": school.question(course, "number")["questionId"],
                "answer": {"number": 4},
                "submissionId": f"first-of-{learner}",
            }
            school.receipt = (await app.ok("submit_answer", answer, uid=learner))["receipt"]
    await _tutored(school)
    await _erased(school)
    return school


async def _erased(school: School) -> None:
    """An archive, and somebody who was erased, with a receipt."""
    services = school.app.services
    replace(services, archive=StatedArchive())
    begun = await services.erasures.open("gone-before", by="ada")
    school.erasure = begun.erasure_id
    over = begun.next_pass().passed(services.now(), key=services.receipt_key)
    school.erasure_receipt = over.receipt


async def _tutored(school: School) -> None:
    """A model that answers, and in each course an evaluation to decide about and an outline."""
    replace(school.app.services, gateway=FixedGateway())
    records = school.app.services.tutoring_records
    for course, learner in (("own", "ann"), ("other", "oda"), ("open", "ann")):
        made = Evaluation(
            evaluation_id=hashlib.sha256(course.encode()).hexdigest(),
            event_id=hashlib.sha256(f"event of {course}".encode()).hexdigest(),
            assignment_id=school.forms[course]["assignmentId"],
            course_id=school.courses[course],
            question_id=school.question(course, "essay")["questionId"],
            student_id=learner,
            criteria=(CriterionScore(criterion_id="c1", title="All of it", points=1, max_points=4),),
            points=1,
            max_points=4,
            feedback="Go on.",
            language="en",
            dir="ltr",
            confidence=50,
            error_patterns=(),
            flags=(),
            prompt_version=PROMPT,
            rubric_version="0" * 16,
            model="fixed",
            evaluated_at="2026-01-01T00:00:00.000000Z",
        )
        await records.add_evaluation(made, per_mille=250)
        school.evaluations[course] = made.evaluation_id
        step = SkeletonStep(title="One", kind="read", objective="Read.")
        lesson = SkeletonLesson(title="First", objectives=("Begin.",), steps=(step,))
        outline = Skeleton(title=course, summary="All.", lessons=(lesson,))
        school.skeletons[course] = await records.add_skeleton(school.courses[course], outline)
        about = {"assignmentId": made.assignment_id, "questionId": made.question_id}
        teacher = "tess" if course == "own" else "otto"
        preview = await school.app.ok("preview_pilot", about, uid=teacher, role="teacher")
        school.pilots[course] = preview["previewId"]


@asynccontextmanager
async def school(**settings: Any) -> AsyncIterator[School]:
    """The school in memory, behind identity as in production; its answers wait, unmerged."""
    # The user's limit is the tightest in every reply, however many have come from the one address.
    wide = {"rate_ai_points": 1_000_000, "rate_lesson_points": 1_000_000, "rate_ip_points": 1_000_000_000}
    settings = {"limiter": "memory", **wide, **settings}
    services = Services(settings_for_tests(project=PROJECT, **settings))
    replace(
        services,
        documents=MemoryDocuments(),
        identity=signed_identity(),
        account_directory=Directory(),
    )
    with wiring.using(services):
        yield await filled(shared_apps(Deployed(services, id_token)))


_APPS: dict[str, Any] = {}


def shared_apps(app: Deployed) -> Deployed:
    """Let *app* use the functions as they were loaded once: they keep nothing but their services."""
    app._apps = _APPS
    return app


def client_calls() -> list[Deployment]:
    """Every function that clients call."""
    return [each for each in functions() if isinstance(each.trigger, ClientCall)]


def functions() -> list[Deployment]:
    """Every function."""
    main.load_all()
    return list(deployments().values())


Slot = tuple[str, ...]
"""Where an id stands in a request: names, ``[]`` for each of a list, ``{}`` for the keys of a map."""

_ID_PATTERNS = ("^[A-Za-z0-9_-]{1,64}$", "^[A-Za-z0-9_.:@+|-]{1,128}$")


def id_slots(call: ClientCall) -> list[Slot]:
    """Every place in a request where an id may stand, found in the model's schema."""
    schema = call.request.model_json_schema(by_alias=True)
    return sorted(set(_slots(schema, schema.get("$defs", {}), ())))


def _slots(schema: Any, definitions: dict[str, Any], here: Slot) -> Iterator[Slot]:
    if "$ref" in schema:
        yield from _slots(definitions[schema["$ref"].rpartition("/")[2]], definitions, here)
    if schema.get("pattern") in _ID_PATTERNS:
        yield here
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _slots(each, definitions, here)
    for name, each in schema.get("properties", {}).items():
        yield from _slots(each, definitions, (*here, name))
    if "items" in schema:
        yield from _slots(schema["items"], definitions, (*here, "[]"))
    if "propertyNames" in schema:
        yield from _slots(schema["propertyNames"], definitions, (*here, "{}"))
    for pattern, each in schema.get("patternProperties", {}).items():
        if pattern in _ID_PATTERNS:
            yield (*here, "{}")
        yield from _slots(each, definitions, (*here, "*"))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _slots(schema["additionalProperties"], definitions, (*here, "*"))


def put(request: Any, slot: Slot, value: Any) -> Any:
    """*request* with *value* at *slot*; where a map's key stands, the key is replaced."""
    first, *rest = slot
    match first:
        case "[]":
            return [put(request[0], tuple(rest), value) if rest else value, *request[1:]]
        case "{}":
            return dict.fromkeys([value], next(iter(request.values())))
        case "*":
            return dict.fromkeys(request, value)
    return {**request, first: put(request[first], tuple(rest), value) if rest else value}


def has(request: Any, slot: Slot) -> bool:
    """Whether *request* has anything at *slot*."""
    first, *rest = slot
    if first == "[]":
        return isinstance(request, list) and bool(request) and (not rest or has(request[0], tuple(rest)))
    if first in {"{}", "*"}:
        return isinstance(request, dict) and bool(request)
    return isinstance(request, dict) and first in request and (not rest or has(request[first], tuple(rest)))

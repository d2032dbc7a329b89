"""
``firestore.rules`` against thousands of attempts that nobody thought of, beside a model of who may read what.

Random principals, operations, paths and documents; an attempt that the model does not allow has to be refused,
and must leave the documents as they were. The model is written in Python and knows nothing of the rules' text.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.emulator.rules_project import Principal, RulesProject
from tests.emulator.test_rules import ANSWERS, LOOT, PRINCIPALS, SEEDED, filled, sealed
from tests.faults import figures
from tests.security.test_scanners import COLLECTIONS

ATTEMPTS = figures.number("LECTERN_ATTEMPTS", 2000)
SEED = figures.number("LECTERN_FIRST_SEED", 0)

REFUSED = {400, 403}
"""Denied, or so malformed that it does not come to the rules."""
ANSWERED = {200, 404}
"""Allowed: what is there, or that nothing is."""

IDS = sorted(
    {part for path in SEEDED for part in path.split("/")} | {"missing", "mine", "0", "ANA", "שלום", "a b"}
)
NAMES = sorted({each.rpartition("/")[2] for each in COLLECTIONS} | {"Courses", "answerkeys", "collection"})


def belongs(who: Principal, course_id: object) -> bool:
    """Whether *who* is in a course, by membership or because it is open."""
    course = SEEDED.get(f"courses/{course_id}", {})
    return f"courses/{course_id}/members/{who.uid}" in SEEDED or course.get("openEnrollment") is True


def teaches(who: Principal, course_id: str) -> bool:
    """Whether *who* is a teacher of a course."""
    return SEEDED.get(f"courses/{course_id}/members/{who.uid}", {}).get("role") == "teacher"


def may_get(who: Principal, path: str) -> bool:
    """Whether *who* may read the document at *path*."""
    if who.uid is None or who.provider in {None, "anonymous"}:
        return False
    match path.split("/"):
        case ["courses", course_id]:
            return path in SEEDED and belongs(who, course_id)
        case ["courses", course_id, "members", uid]:
            return uid == who.uid or teaches(who, course_id)
        case ["assignments", _]:
            return path in SEEDED and belongs(who, SEEDED[path]["courseId"])
        case ["assignments", assignment_id, "forms", _]:
            assignment = SEEDED.get(f"assignments/{assignment_id}")
            return assignment is not None and belongs(who, assignment["courseId"])
        case ["assignments", assignment_id, "figures", _]:
            assignment = SEEDED.get(f"assignments/{assignment_id}")
            return assignment is not None and teaches(who, assignment["courseId"])
        case ["users", uid, "evaluations" | "decisions", _]:
            return uid == who.uid
        case ["browserAnswers", _]:
            return SEEDED.get(path, {}).get("studentId") == who.uid
    return False


def may_list(who: Principal, collection: str, options: dict[str, Any]) -> bool:
    """Whether *who* may ask for several documents of *collection*."""
    if who.uid is None or who.provider in {None, "anonymous"} or options["everywhere"]:
        return False
    most = options["limit"] or 10**9
    match collection.split("/"):
        case ["courses", course_id, "members"]:
            return most <= 200 and teaches(who, course_id)
        case ["assignments"]:
            field, value = options["where"] or ("", "")
            return most <= 100 and field == "courseId" and belongs(who, value)
        case ["users", uid, "evaluations"]:
            return most <= 100 and uid == who.uid
    return False


@dataclass
class Attempt:
    """One request: what it is, who makes it, whether it may succeed, and how to make it."""

    what: str
    who: Principal
    allowed: bool
    make: Callable[[RulesProject], int]


def attempts(rng: random.Random) -> Iterator[Attempt]:
    """Attempts without end."""
    kinds = (_get, _list, _write, _forge)
    while True:
        who = rng.choice(list(PRINCIPALS.values()))
        yield rng.choice(kinds)(rng, who)


def _path(rng: random.Random) -> str:
    """A known document with some of its path exchanged, deeper or shallower; or one out of nothing."""
    if rng.random() < 0.2:
        return "/".join(rng.choice(NAMES if step % 2 == 0 else IDS) for step in range(rng.choice((2, 4, 6))))
    parts = rng.choice(list(SEEDED)).split("/")
    for step in range(len(parts)):
        if rng.random() < 0.3:
            parts[step] = rng.choice(NAMES if step % 2 == 0 else IDS)
    if rng.random() < 0.2:
        parts += [rng.choice(NAMES), rng.choice(IDS)]
    return "/".join(parts)


def _get(rng: random.Random, who: Principal) -> Attempt:
    path = _path(rng)
    return Attempt(f"get {path}", who, may_get(who, path), lambda school: school.get(who, path))


def _list(rng: random.Random, who: Principal) -> Attempt:
    collection = _path(rng).rpartition("/")[0]
    fields = ("courseId", "studentId", "role", "title", "uid")
    options = {
        "where": (rng.choice(fields), rng.choice(IDS)) if rng.random() < 0.5 else None,
        "limit": rng.choice((1, 10, 100, 101, 200, 201, None)),
        "everywhere": rng.random() < 0.3,
    }
    return Attempt(
        f"list {collection} {options}",
        who,
        may_list(who, collection, options),
        lambda school: school.query(who, collection, **options),
    )


def _write(rng: random.Random, who: Principal) -> Attempt:
    path = _path(rng)
    fields = {
        **LOOT,
        **rng.choice(list(SEEDED.values())),
        rng.choice(list(LOOT)): rng.choice((True, "ana", 1)),
    }
    how = rng.choice(("create", "update", "delete"))
    makes: dict[str, Callable[[RulesProject], int]] = {
        "create": lambda school: school.create(who, path, fields),
        "update": lambda school: school.update(who, path, fields),
        "delete": lambda school: school.delete(who, path),
    }
    return Attempt(f"{how} {path} {fields}", who, allowed=False, make=makes[how])


def _forge(rng: random.Random, who: Principal) -> Attempt:
    """A proper answer of somebody's in which one thing was changed after its id was made."""
    path, fields = sealed(
        rng.choice(list(PRINCIPALS.values())),
        f"forged-{rng.randrange(10**9):09}",
        rng.choice(list(ANSWERS.values())),
        assignment_id=rng.choice(("closedQuiz", "otherQuiz", "openQuiz")),
    )
    change = rng.choice(("id", "field", "extra", "missing", "elsewhere"))
    if change == "id":
        place = rng.randrange(len("browserAnswers/"), len(path))
        path = path[:place] + ("0" if path[place] != "0" else "1") + path[place + 1 :]
    elif change == "field":
        name = rng.choice(("assignmentId", "questionId", "studentId", "submissionId"))
        fields[name] = f"{fields[name]}x"
    elif change == "extra":
        fields[rng.choice(list(LOOT))] = True
    elif change == "missing":
        del fields[rng.choice(list(fields))]
    else:
        path = f"{rng.choice(sorted(set(NAMES) - {'browserAnswers'}))}/{path.rpartition('/')[2]}"
    return Attempt(
        f"forge {change} {path} {fields}",
        who,
        allowed=False,
        make=lambda school: school.create(who, path, fields),
    )


@pytest.fixture(scope="module")
def school(emulators: Any) -> Iterator[RulesProject]:
    """The school of the rules' table."""
    project = filled(RulesProject(emulators.firestore))
    yield project
    project.close()


def test_what_nobody_allowed_is_refused(school: RulesProject) -> None:
    denied = answered = 0
    for number, attempt in zip(range(ATTEMPTS), attempts(random.Random(SEED)), strict=False):
        status = attempt.make(school)
        expected = ANSWERED if attempt.allowed else REFUSED
        assert status in expected, (SEED, number, attempt.who.name, attempt.what, status)
        denied += not attempt.allowed
        answered += attempt.allowed
    figures.note(attempts_denied=denied, attempts_allowed=answered)
    assert denied > ATTEMPTS * 0.8
    assert answered > ATTEMPTS * 0.005


def test_refused_attempts_have_changed_nothing(school: RulesProject) -> None:
    for path, fields in SEEDED.items():
        stored = school.owner_reads(path)
        assert stored is not None, path
        assert stored.keys() == fields.keys(), path

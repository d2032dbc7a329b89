"""Each place of an erasure: over many pages it removes all of one learner, counts it, and touches nobody else."""

import hashlib
from datetime import UTC, datetime

import pytest

from shared.budgets.base import Rung, Scope
from shared.budgets.erasing import places as places_of_money
from shared.budgets.leases import account_path
from shared.caching.base import Kept
from shared.caching.erasing import places as places_of_replies
from shared.caching.firestore import FirestoreStore
from shared.caching.memory import MemoryCache
from shared.caching.registry import ENTRIES
from shared.catalog.erasing import Members
from shared.documents.base import MAX_WRITES, Create
from shared.documents.memory import MemoryDocuments
from shared.edge.registry import RateClass
from shared.limits.base import Limit
from shared.limits.erasing import counted_calls
from shared.tutoring.erasing import places as places_of_tutoring
from shared.wiring import LIMITS_OVER_ALL

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ANN, BEN, TESS = "ann", "ben", "tess"
KEY = b"k" * 32


@pytest.fixture
def documents():
    return MemoryDocuments()


async def put(documents, fields):
    creations = [Create(path, each) for path, each in fields.items()]
    for start in range(0, len(creations), 400):
        await documents.commit(creations[start : start + 400])


async def erased(documents, place, uid=ANN):
    """Go through *place* to its end, as an erasure does; what was counted, and how many steps it took."""
    counts, steps, after = {}, 0, None
    while True:
        step = await place.step(uid, after)
        assert len(step.writes) < MAX_WRITES  # with the note of how far it has come
        await documents.commit(step.writes)
        for name, count in step.counts.items():
            counts[name] = counts.get(name, 0) + count
        steps, after = steps + 1, step.after
        if after is None:
            return counts, steps


async def told(place):
    named, after = set(), None
    while True:
        found = await place.learners(after)
        named |= found.learners
        after = found.after
        if after is None:
            return named


def named(places, name):
    [place] = [each for each in places if each.name == name]
    return place


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def judged(uid, number, *, by=""):
    """An evaluation with its place in the queue, or with what was decided *by* somebody."""
    name, assignment = digest(uid, number), f"a{number % 3}"
    fields = {f"users/{uid}/evaluations/{name}": {"assignmentId": assignment, "studentId": uid}}
    if by:
        decision = {"assignmentId": assignment, "studentId": uid, "decidedBy": by}
        points = {"studentId": uid, "questionId": "q", "suggested": {"c": number}, "decided": {"c": 1}}
        return fields | {
            f"users/{uid}/decisions/{name}": decision,
            f"reviews/{assignment}/decided/{name}": points,
        }
    return fields | {f"reviews/{assignment}/waiting/{name}": {"studentId": uid, "questionId": "q"}}


async def judgements(documents):
    fields = {f"assignments/a{number}": {"courseId": "c"} for number in range(4)}
    for uid in (ANN, BEN):
        for number in range(200):
            fields |= judged(uid, number, by=(TESS, "otto")[number % 4 // 2] if number % 2 else "")
    await put(documents, fields)
    return fields


async def test_evaluations_go_with_their_queue_and_their_points_stay_unnamed(documents):
    before = await judgements(documents)
    places = places_of_tutoring(documents, key=KEY)
    counts, steps = await erased(documents, named(places, "users/evaluations"))
    assert counts == {"evaluations": 200, "decisions": 100, "waiting": 100, "decided": 100}
    assert steps == 3
    after = documents.dump()
    assert {path: after[path] for path in before if f"/{ANN}/" not in path and after.get(path)} == {
        path: each for path, each in before.items() if f"/{ANN}/" not in path and each.get("studentId") != ANN
    }
    unnamed = [each for path, each in after.items() if "/decided/" in path and path not in before]
    points = [each for path, each in before.items() if "/decided/" in path and each["studentId"] == ANN]
    assert all("studentId" not in each for each in unnamed)
    assert sorted(each["suggested"]["c"] for each in unnamed) == sorted(
        each["suggested"]["c"] for each in points
    )
    assert await erased(documents, named(places, "users/evaluations")) == ({}, 1)
    assert documents.dump() == after


async def test_a_decision_that_was_made_meanwhile_goes_as_well(documents):
    await put(documents, judged(ANN, 1, by=TESS) | judged(BEN, 1, by=TESS))
    await documents.delete_each([f"users/{ANN}/evaluations/{digest(ANN, 1)}"])
    places = places_of_tutoring(documents, key=KEY)
    counts, _ = await erased(documents, named(places, "users/decisions"))
    assert counts == {"decisions": 1, "decided": 1}
    assert not any(ANN in path for path in documents.dump())


async def test_who_decided_is_told_no_more_and_what_was_decided_stays(documents):
    before = await judgements(documents)
    place = named(places_of_tutoring(documents, key=KEY), "decidedBy")
    assert await told(place) == {TESS, "otto"}
    counts, steps = await erased(documents, place, TESS)
    assert counts == {"decidedBy": 100}
    assert steps > 4  # an assignment a step, and more where there is more
    after = documents.dump()
    changed = {path for path in before if after[path] != before[path]}
    assert len(changed) == 100
    assert all(after[path] == {**before[path], "decidedBy": "-"} for path in changed)
    assert await told(place) == {"otto"}


@pytest.mark.parametrize("collection", ["context", "assistance"])
async def test_what_lies_beneath_a_learner_goes_page_by_page(documents, collection):
    await put(
        documents, {f"users/{uid}/{collection}/{n}": {"n": n} for uid in (ANN, BEN) for n in range(650)}
    )
    places = places_of_tutoring(documents, key=KEY)
    assert await erased(documents, named(places, f"users/{collection}")) == ({collection: 650}, 3)
    assert {path.split("/")[1] for path in documents.dump()} == {BEN}
    assert await told(named(places, "users/evaluations")) == {BEN}


@pytest.mark.parametrize(
    ("collection", "of"),
    [
        ("pilots", lambda uid: {"sample": [{"studentId": uid}, {"studentId": "cid"}]}),
        ("pilotEvaluations", lambda uid: {"evaluation": {"studentId": uid}, "nanos": 1}),
        ("spending", lambda uid: {"scope": "learner", "scopeId": uid, "spentNanos": 5}),
        ("cachedReplies", lambda uid: {"owner": uid, "value": b"x"}),
    ],
)
async def test_documents_that_name_the_learner_go_among_others_that_do_not(documents, collection, of):
    await put(documents, {f"{collection}/{n:04}": of((ANN, BEN)[n % 5 > 0]) for n in range(640)})
    everywhere = [
        *places_of_tutoring(documents, key=KEY),
        *places_of_money(documents),
        *places_of_replies(documents),
    ]
    place = named(everywhere, collection)
    assert {ANN, BEN} <= await told(place)
    counts, steps = await erased(documents, place)
    assert counts == {collection: 128}
    assert steps > 2
    left = documents.dump()
    assert len(left) == 512
    assert ANN not in repr(left)


async def test_accounts_of_courses_and_classes_are_nobodys(documents):
    await put(documents, {"spending/a": {"scope": "course", "scopeId": ANN, "spentNanos": 5}})
    place = named(places_of_money(documents), "spending")
    assert await told(place) == set()
    assert await erased(documents, place) == ({}, 1)
    assert set(documents.dump()) == {"spending/a"}


async def test_amounts_stay_and_whose_they_were_goes(documents):
    def entries(n):
        return [{"id": f"{n}-{at}", "uid": (ANN, BEN)[at % 2], "nanos": at} for at in range(1 + n % 3)]

    fields = {f"spendEntries/{n:02}": {"courseId": "c", "nanos": n, "entries": entries(n)} for n in range(45)}
    fields |= {
        "spendEntries/99": {"courseId": "c", "nanos": 1, "entries": [{"id": "x", "uid": BEN, "nanos": 1}]}
    }
    await put(documents, fields)
    place = named(places_of_money(documents), "spendEntries")
    assert await told(place) == {ANN, BEN}
    assert await erased(documents, place) == ({"spendEntries": 45}, 3)
    for path, after in documents.dump().items():
        before = fields[path]
        unnamed = [{**each, "uid": "" if each["uid"] == ANN else each["uid"]} for each in before["entries"]]
        assert after == {**before, "entries": unnamed}
    assert await told(place) == {BEN}


async def test_a_ceiling_of_the_learners_own_goes_and_those_of_others_stay(documents):
    paths = [f"budgets/{each}" for each in (f"learner.{ANN}", f"learner.{BEN}", f"class.{ANN}", "killSwitch")]
    await put(documents, {path: {"dayNanos": 1} for path in paths})
    place = named(places_of_money(documents), "budgets")
    assert await told(place) == {ANN, BEN}
    assert await erased(documents, place) == ({"budgets": 1}, 1)
    assert set(documents.dump()) == set(paths[1:])


def test_the_path_of_an_account_is_that_of_its_scope():
    rung = Rung(Scope.LEARNER, ANN, "2026-11-28", 1, NOW)
    assert account_path(rung).startswith("spending/")


async def test_memberships_in_all_courses_go(documents):
    fields = {f"courses/c{n:03}": {"openEnrollment": False} for n in range(640)}
    member = {"role": "student", "joinedAt": NOW}
    fields |= {f"courses/c{n:03}/members/{ANN}": member for n in range(0, 640, 7)}
    fields |= {f"courses/c{n:03}/members/{BEN}": member for n in range(0, 640, 9)}
    fields |= {f"courses/c000/members/other-{n:03}": member for n in range(320)}
    await put(documents, fields)
    place = Members(documents)
    assert {ANN, BEN, "other-319"} <= await told(place)
    assert await erased(documents, place) == ({"members": 92}, 3)
    assert documents.dump() == {path: each for path, each in fields.items() if not path.endswith(f"/{ANN}")}


async def test_limits_and_generations_are_found_by_who_it_is(documents):
    limits = {
        f"rateLimits/{Limit(name, f'uid:{uid}', 1, 60).digest}": {"slots": {}}
        for name in LIMITS_OVER_ALL
        for uid in (ANN, BEN)
    }
    await put(documents, limits)
    place = counted_calls(documents, LIMITS_OVER_ALL, seconds=60)
    assert await erased(documents, place) == ({"rateLimits": 3}, 1)
    assert len(documents.dump()) == 3

    store = FirestoreStore(documents, lambda: NOW)
    events = sorted({event for entry in ENTRIES.values() for event in entry.ended_by})
    for event in events:
        for uid in (ANN, BEN, ""):
            await store.count_up(f"{event}:{uid}")
    counts, _ = await erased(documents, named(places_of_replies(documents), "cacheGenerations"))
    assert counts == {"cacheGenerations": len(events)}
    assert [await store.generation(f"{event}:{ANN}") for event in events] == [0] * len(events)
    assert all([await store.generation(f"{event}:{BEN}") for event in events])
    assert await told(place) == await told(named(places_of_replies(documents), "cacheGenerations")) == set()


def test_the_limits_that_are_gone_through_are_all_that_instances_count_together():
    assert set(LIMITS_OVER_ALL) == {each.value for each in RateClass if each.shared}


def test_a_process_forgets_what_belongs_to_who_is_gone():
    cache = MemoryCache(entries=10, clock=lambda: 0.0)
    for name, owner in (("1", ANN), ("2", BEN), ("3", ""), ("4", ANN)):
        cache.put(name, Kept(b"12345678x", owner, 60.0))
    asked = []
    cache.forget(lambda owner: asked.append(owner) or owner == ANN)
    assert sorted(asked) == [ANN, BEN]
    assert [cache.get(name) is not None for name in "1234"] == [False, True, True, False]

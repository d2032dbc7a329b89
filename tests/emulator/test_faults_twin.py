"""The in-memory store does what Firestore does, over histories that nobody thought of."""

import asyncio
import itertools
import os
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from shared.documents.base import Create, Delete, Find, Put, Replace
from shared.documents.firestore import FirestoreDocuments
from shared.documents.memory import MemoryDocuments
from shared.errors import Conflict, LecternError, PreconditionLost
from tests.faults import figures

RUNS = figures.number("LECTERN_TWIN_RUNS", 200)
STEPS = 12

_numbers = itertools.count()
_ids = st.sampled_from(["a", "b", "c", "A", "a-", "0"])
_places = st.sampled_from(["things", "things/a/parts", "others"])
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.sampled_from([0, 1, 0.0, -0.0, 1.0, 2**53 + 1, 0.1, 1e300])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=8)
    | st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  hypothesis wants naive bounds
    lambda inner: (
        st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2)
        | st.lists(inner.filter(lambda each: not isinstance(each, list)), max_size=2)
    ),
    max_leaves=4,
)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["p", "q"]),
        "rank": st.integers(0, 2),
        "value": st.sampled_from([0, 1, False, True, 0.0, -0.0, 1.0, "1", [1], [1.0], {"x": 1}]) | _values,
    },
)
_kinds = st.sampled_from([Create, Replace, Replace, Put, Delete, "delete-expected"])


class Twins(RuleBasedStateMachine):
    """Every step on both stores: same outcomes, same contents, versions that move together."""

    firestore: FirestoreDocuments
    runner: asyncio.Runner

    def __init__(self):
        super().__init__()
        self.memory = MemoryDocuments()
        self.prefix = f"run{os.getpid()}x{next(_numbers)}"
        self.versions = {}

    def path(self, place, name):
        return f"{self.prefix}{place}/{name}"

    def both(self, work):
        """What each store makes of *work*: its result, or the kind of its refusal."""
        return [self.runner.run(_outcome(work, number, store)) for number, store in self.stores]

    @property
    def stores(self):
        return enumerate((self.memory, self.firestore))

    @rule(
        writes=st.lists(
            st.tuples(_kinds, _places, _ids, _fields, st.integers(0, 9)),
            min_size=1,
            max_size=4,
            unique_by=lambda each: (each[1], each[2]),
        )
    )
    def commit(self, writes):
        def made(number):
            return [self.write(number, *write) for write in writes]

        mine, theirs = self.both(lambda store, number: store.commit(made(number)))
        if isinstance(mine, type) or isinstance(theirs, type):
            assert isinstance(mine, type), f"only Firestore refused: {theirs}"
            assert isinstance(theirs, type), f"only the twin refused: {mine}"
            if len(writes) == 1:
                assert mine == theirs
        else:
            for (kind, place, name, *_), *versions in zip(writes, mine, theirs, strict=True):
                if kind not in {Delete, "delete-expected"}:
                    self.versions.setdefault(self.path(place, name), []).append(tuple(versions))

    def write(self, number, kind, place, name, fields, which):
        path = self.path(place, name)
        known = self.versions.get(path, [((10**9, 1), (1, 1000))])
        expected = known[-1 - which % min(2, len(known))][number]
        if kind is Replace:
            return Replace(path, fields or {"kind": "p"}, expected)
        if kind is Delete:
            return Delete(path)
        return Delete(path, expected) if kind == "delete-expected" else kind(path, fields)

    @rule(place=_places, names=st.sets(_ids, min_size=1, max_size=4), fields=_fields)
    def create_each(self, place, names, fields):
        creations = [Create(self.path(place, name), fields) for name in sorted(names)]
        mine, theirs = self.both(lambda store, _: store.create_each(creations))
        assert mine == theirs

    @rule(place=_places, names=st.sets(_ids, min_size=1, max_size=4))
    def delete_each(self, place, names):
        paths = [self.path(place, name) for name in sorted(names)]
        mine, theirs = self.both(lambda store, _: store.delete_each(paths))
        assert mine == theirs

    @rule(
        place=_places,
        where=st.sampled_from([{}, {"kind": "p"}, {"rank": 1}, {"kind": "q", "rank": 0}]),
        order=st.sampled_from([(), ("rank",), ("-rank",), ("kind", "-rank")]),
        only=st.sampled_from([None, ("value",), ("kind", "rank")]),
        limit=st.integers(1, 4),
    )
    def find(self, place, where, order, only, limit):
        async def pages(store, _):
            found, last = [], None
            for _ in range(8):
                keep = None if only is None else tuple({*only, *(name.lstrip("-") for name in order)})
                query = Find(f"{self.prefix}{place}", where, order, after=last, only=keep, limit=limit)
                page = await store.find(query)
                found.append([(each.path, _exact(each.fields)) for each in page])
                if len(page) < limit:
                    break
                last = page[-1]
            return found

        mine, theirs = self.both(pages)
        assert mine == theirs

    @rule(place=_places, after=st.none() | _ids, limit=st.integers(1, 4))
    def scan(self, place, after, limit):
        async def ids(store, _):
            return [each.id for each in await store.scan(f"{self.prefix}{place}", after=after, limit=limit)]

        mine, theirs = self.both(ids)
        assert mine == theirs

    @invariant()
    def contents_are_the_same(self):
        paths = sorted(self.versions)

        async def contents(store, _):
            return await store.get(paths)

        mine, theirs = self.both(contents)
        for path, here, there in zip(paths, mine, theirs, strict=True):
            assert (here and _exact(here.fields)) == (there and _exact(there.fields)), path
            if here is not None:
                known = self.versions[path]
                # A version is the newest that a commit returned on both sides, or on neither.
                assert (here.version == known[-1][0]) == (there.version == known[-1][1]), path
                known.append((here.version, there.version))

    @rule(place=_places)
    def count(self, place):
        mine, theirs = self.both(lambda store, _: store.count(f"{self.prefix}{place}"))
        assert mine == theirs


async def _outcome(work, number, store):
    try:
        return await work(store, number)
    except (Conflict, PreconditionLost) as refused:
        return type(refused)
    except LecternError as refused:
        return type(refused)


def _exact(value):
    """*value* such that 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(value, dict):
        return {name: _exact(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(each) for each in value]
    return (type(value).__name__, repr(value))


@pytest.mark.parametrize("part", range(4))
def test_both_stores_do_the_same(project_id, emulators, part):
    with asyncio.Runner() as runner:
        Twins.runner = runner
        Twins.firestore = FirestoreDocuments(
            project=project_id, database="(default)", emulator_host=emulators.firestore
        )
        try:
            run_state_machine_as_test(
                Twins,
                settings=settings(
                    max_examples=RUNS // 4,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    database=None,
                    print_blob=True,
                ),
            )
        finally:
            runner.run(Twins.firestore.close())
    figures.note(runs=RUNS // 4)

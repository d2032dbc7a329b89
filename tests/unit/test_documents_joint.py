"""Writers that share round trips: each still gets what it would have got alone."""

import asyncio

import pytest

from shared.documents.base import Create, Put, Replace
from shared.documents.joint import JointDocuments
from shared.documents.memory import MemoryDocuments
from shared.documents.metering import bill, charge
from shared.errors import Conflict, LecternError, PreconditionLost, Unavailable
from tests.documents_contract import DocumentsContract


class Store(MemoryDocuments):
    """Notes the paths of every commit and deletion, and waits for *gate* before each; *failures* come first."""

    def __init__(self):
        super().__init__()
        self.commits = []
        self.deletions = []
        self.failures = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, writes):
        self.commits.append([write.path for write in writes])
        charge(writes=len(writes))
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return await super().commit(writes)

    async def delete_each(self, paths):
        self.deletions.append(list(paths))
        await super().delete_each(paths)

    async def there(self, *paths):
        return [found and dict(found.fields) for found in await self.get(paths)]


@pytest.fixture
async def store():
    return Store()


class TestContract(DocumentsContract):
    @pytest.fixture
    def documents(self):
        return JointDocuments(MemoryDocuments())


class TestCommits:
    async def test_those_of_one_moment_share_a_round_trip_and_each_gets_its_own_versions(self, store):
        joint = JointDocuments(store)
        one, two = await asyncio.gather(
            joint.commit([Create("a/1", {"n": 1}), Create("a/2", {"n": 2})]),
            joint.commit([Create("a/3", {"n": 3})]),
        )
        assert store.commits == [["a/1", "a/2", "a/3"]]
        versions = [found.version for found in await store.get(["a/1", "a/2", "a/3"])]
        assert [*one, *two] == versions

    async def test_one_that_comes_alone_goes_alone_and_at_once(self, store):
        joint = JointDocuments(store)
        await joint.commit([Create("a/1", {})])
        await joint.commit([Create("a/2", {})])
        assert store.commits == [["a/1"], ["a/2"]]

    async def test_a_lost_race_is_lost_by_its_own_caller_only(self, store):
        joint = JointDocuments(store)
        [old] = await store.commit([Create("a/1", {"n": 1})])
        await store.commit([Replace("a/1", {"n": 2}, old)])
        store.commits.clear()
        outcomes = await asyncio.gather(
            joint.commit([Create("b/1", {"n": 1})]),
            joint.commit([Create("b/2", {"n": 1}), Replace("a/1", {"n": 3}, old)]),
            joint.commit([Create("b/3", {"n": 1})]),
            return_exceptions=True,
        )
        assert store.commits == [["b/1", "b/2", "a/1", "b/3"], ["b/1"], ["b/2", "a/1"], ["b/3"]]
        assert [type(each) for each in outcomes] == [list, PreconditionLost, list]
        assert await store.there("b/1", "b/2", "b/3", "a/1") == [{"n": 1}, None, {"n": 1}, {"n": 2}]

    async def test_what_is_there_already_is_told_to_its_own_caller_only(self, store):
        joint = JointDocuments(store)
        await store.commit([Create("a/1", {})])
        outcomes = await asyncio.gather(
            joint.commit([Create("a/1", {})]), joint.commit([Create("a/2", {})]), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [Conflict, list]

    @pytest.mark.parametrize("failure", [LecternError("too large"), ValueError("too many bytes")])
    async def test_what_cannot_be_written_keeps_nobody_else_from_writing(self, store, failure):
        joint = JointDocuments(store)
        store.failures = [failure, failure]
        outcomes = await asyncio.gather(
            joint.commit([Create("a/1", {})]), joint.commit([Create("a/2", {})]), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [type(failure), list]
        assert await store.there("a/1", "a/2") == [None, {}]

    async def test_where_it_may_have_happened_nobody_writes_again(self, store):
        joint = JointDocuments(store)
        store.failures = [Unavailable("x")]
        outcomes = await asyncio.gather(
            joint.commit([Create("a/1", {})]), joint.commit([Create("a/2", {})]), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [Unavailable, Unavailable]
        assert store.commits == [["a/1", "a/2"]]

    async def test_two_that_name_one_document_do_not_share(self, store):
        joint = JointDocuments(store)
        await asyncio.gather(
            joint.commit([Put("a/1", {"n": 1})]),
            joint.commit([Put("a/1", {"n": 2}), Put("a/2", {})]),
            joint.commit([Put("a/3", {})]),
        )
        assert store.commits == [["a/1", "a/3"], ["a/1", "a/2"]]
        assert await store.there("a/1") == [{"n": 2}]

    async def test_eight_are_under_way_at_most_and_what_waits_meanwhile_shares(self, store):
        joint = JointDocuments(store)
        store.gate.clear()
        tasks = []
        for number in range(20):
            tasks.append(asyncio.create_task(joint.commit([Create(f"a/{number}", {})])))
            await asyncio.sleep(0.001)
        assert len(store.commits) == 8
        store.gate.set()
        await asyncio.gather(*tasks)
        assert store.commits[8:] == [[f"a/{number}" for number in range(8, 20)]]

    @pytest.mark.parametrize(
        ("writes", "together"),
        [
            ([[Create(f"a/{n}-{m}", {}) for m in range(200)] for n in range(3)], [400, 200]),
            ([[Create(f"a/{n}", {"page": b"x" * 400_000})] for n in range(3)], [2, 1]),
            ([[Create(f"a/{n}", {"list": [n], "map": {"n": n}})] for n in range(70)], [60, 10]),
        ],
    )
    async def test_no_more_share_than_a_commit_may_hold(self, store, writes, together):
        joint = JointDocuments(store)
        await asyncio.gather(*map(joint.commit, writes))
        assert [len(commit) for commit in store.commits] == together

    async def test_who_gives_up_before_it_begins_has_written_nothing(self, store):
        joint = JointDocuments(store)
        tasks = [asyncio.create_task(joint.commit([Create(f"a/{n}", {})])) for n in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(tasks[0], tasks[2])
        assert await store.there("a/0", "a/1", "a/2") == [{}, None, {}]

    async def test_who_gives_up_later_takes_nobody_along(self, store):
        joint = JointDocuments(store)
        store.gate.clear()
        tasks = [asyncio.create_task(joint.commit([Create(f"a/{n}", {})])) for n in range(2)]
        await asyncio.sleep(0.001)
        tasks[0].cancel()
        await asyncio.sleep(0.001)
        store.gate.set()
        await tasks[1]
        assert await store.there("a/0", "a/1") == [{}, {}]

    async def test_each_pays_for_its_own_documents(self, store):
        joint = JointDocuments(store)

        async def write(*paths):
            with bill("f") as spent:
                await joint.commit([Create(path, {}) for path in paths])
            return spent.writes, spent.rpcs

        assert await asyncio.gather(write("a/1", "a/2", "a/3"), write("a/4")) == [(3, 1), (1, 0)]


class TestDeletions:
    async def test_those_of_one_moment_share_a_round_trip(self, store):
        joint = JointDocuments(store)
        await store.commit([Create(f"a/{n}", {}) for n in range(4)])
        await asyncio.gather(joint.delete_each(["a/0", "a/1"]), joint.delete_each(["a/2"]))
        assert store.deletions == [["a/0", "a/1", "a/2"]]
        assert await store.there(*(f"a/{n}" for n in range(4))) == [None, None, None, {}]

    async def test_none_is_no_round_trip(self, store):
        await JointDocuments(store).delete_each([])
        assert store.deletions == []

    async def test_a_failure_is_everybodys(self, store):
        async def fail(_paths):
            raise Unavailable("x")

        store.delete_each = fail
        joint = JointDocuments(store)
        outcomes = await asyncio.gather(
            joint.delete_each(["a/1"]), joint.delete_each(["a/2"]), return_exceptions=True
        )
        assert [type(each) for each in outcomes] == [Unavailable, Unavailable]

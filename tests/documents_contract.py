"""What every document store promises; each adapter's test inherits it."""

import asyncio
from datetime import UTC, datetime

import pytest

from shared.documents.base import (
    MAX_COMMIT_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_WRITES,
    Create,
    Delete,
    Find,
    Put,
    Replace,
    Written,
)
from shared.errors import Conflict, LecternError, PreconditionLost, Rejected, Unavailable


class DocumentsContract:
    """Subclasses provide the fixture ``documents``."""

    async def test_what_was_created_is_read_back_whole(self, documents):
        fields = {
            "text": "שלום",
            "number": -(2**63),
            "share": 0.1,
            "yes": True,
            "nothing": None,
            "bytes": b"\x00\xff",
            "at": datetime(2026, 11, 20, 16, 0, 0, 123456, tzinfo=UTC),
            "map": {"list": [1, "two", {"three": 3.0}], "empty": {}},
        }
        [version] = await documents.commit([Create("things/a", fields)])
        [found] = await documents.get(["things/a"])
        assert found.fields == fields
        assert found.version == version
        assert found.id == "a"

    async def test_what_is_missing_is_none_in_its_place(self, documents):
        await documents.commit([Create("things/b", {"n": 1})])
        found = await documents.get(["things/none", "things/b", "things/neither"])
        assert [each and each.id for each in found] == [None, "b", None]
        assert await documents.get([]) == []

    async def test_only_the_fields_asked_for_are_read(self, documents):
        await documents.commit([Create("things/a", {"n": 1, "m": 2})])
        [found] = await documents.get(["things/a"], only=["m", "absent"])
        assert found.fields == {"m": 2}

    async def test_creating_what_exists_is_a_conflict_and_changes_nothing(self, documents):
        await documents.commit([Create("things/a", {"n": 1})])
        with pytest.raises(Conflict):
            await documents.commit([Create("things/new", {"n": 1}), Create("things/a", {"n": 2})])
        found = await documents.get(["things/a", "things/new"])
        assert found[0].fields == {"n": 1}
        assert found[1] is None

    async def test_a_replacement_keeps_the_other_fields(self, documents):
        [version] = await documents.commit([Create("things/a", {"n": 1, "m": {"x": 1}})])
        [after] = await documents.commit([Replace("things/a", {"m": {"y": 2}}, version)])
        [found] = await documents.get(["things/a"])
        assert found.fields == {"n": 1, "m": {"y": 2}}
        assert found.version == after != version

    async def test_a_stale_replacement_changes_nothing_at_all(self, documents):
        [stale] = await documents.commit([Create("things/a", {"n": 1})])
        await documents.commit([Replace("things/a", {"n": 2}, stale)])
        with pytest.raises(PreconditionLost):
            await documents.commit([Create("things/other", {}), Replace("things/a", {"n": 3}, stale)])
        with pytest.raises(PreconditionLost):
            await documents.commit([Replace("things/missing", {"n": 3}, stale)])
        found = await documents.get(["things/a", "things/other"])
        assert found[0].fields == {"n": 2}
        assert found[1] is None

    async def test_of_racing_replacements_exactly_one_wins(self, documents):
        [version] = await documents.commit([Create("things/a", {"n": 0})])
        writes = [documents.commit([Replace("things/a", {"n": n}, version)]) for n in range(1, 9)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert all(isinstance(each, list | PreconditionLost) for each in outcomes)

    async def test_a_write_that_changes_nothing_does_not_move_the_version(self, documents):
        [version] = await documents.commit([Create("things/a", {"n": 1})])
        [same] = await documents.commit([Replace("things/a", {"n": 1}, version)])
        [found] = await documents.get(["things/a"])
        assert found.version == same == version

    async def test_a_write_that_changes_only_the_type_moves_the_version(self, documents):
        [version] = await documents.commit([Create("things/a", {"n": 1})])
        for value in (1.0, True, [1], [1.0], 0.0, -0.0):
            [after] = await documents.commit([Replace("things/a", {"n": value}, version)])
            assert after != version, value
            version = after

    async def test_a_put_writes_whether_there_is_something_or_not(self, documents):
        await documents.commit([Put("things/a", {"n": 1, "m": 1})])
        await documents.commit([Put("things/a", {"n": 2})])
        [found] = await documents.get(["things/a"])
        assert found.fields == {"n": 2}

    async def test_deleting_may_be_repeated_unless_a_version_is_expected(self, documents):
        [version] = await documents.commit([Create("things/a", {"n": 1})])
        await documents.commit([Delete("things/a", version)])
        with pytest.raises(PreconditionLost):
            await documents.commit([Delete("things/a", version)])
        await documents.commit([Delete("things/a")])
        await documents.delete_each(["things/a", "things/never"])
        await documents.delete_each([])

    async def test_independent_creations_each_have_their_outcome(self, documents):
        await documents.commit([Create("things/b", {"n": 0})])
        outcomes = await documents.create_each([Create(f"things/{name}", {"n": 1}) for name in "abc"])
        assert outcomes == [Written.DONE, Written.EXISTS, Written.DONE]
        [kept] = await documents.get(["things/b"])
        assert kept.fields == {"n": 0}

    async def test_one_document_twice_in_a_commit_is_refused_before_it_is_sent(self, documents):
        with pytest.raises(ValueError, match="twice"):
            await documents.commit([Create("things/a", {}), Put("things/a", {})])
        with pytest.raises(ValueError, match="twice"):
            await documents.create_each([Create("things/a", {}), Create("things/a", {})])
        with pytest.raises(ValueError, match="writes"):
            await documents.commit([Create(f"things/{n}", {}) for n in range(MAX_WRITES + 1)])

    @pytest.mark.parametrize("large", [bytes(MAX_DOCUMENT_BYTES), "ש" * (MAX_DOCUMENT_BYTES // 2)])
    async def test_a_document_that_is_too_large_is_refused_with_all_that_is_written_beside_it(
        self, documents, large
    ):
        for writes in (
            [Put("things/a", {}), Create("things/b", {"it": large})],
            [Put("things/b", {"it": large})],
        ):
            with pytest.raises(LecternError) as refusal:
                await documents.commit(writes)
            assert not isinstance(refusal.value, Rejected | Unavailable)
        with pytest.raises(LecternError):
            await documents.create_each([Create("things/a", {}), Create("things/b", {"it": large})])
        assert await documents.get(["things/a", "things/b"]) == [None, None]

    async def test_what_a_replacement_leaves_counts_towards_the_size_of_a_document(self, documents):
        part = bytes(MAX_DOCUMENT_BYTES * 2 // 3)
        [version] = await documents.commit([Create("things/a", {"one": part})])
        with pytest.raises(LecternError):
            await documents.commit([Replace("things/a", {"other": part}, version)])
        [version] = await documents.commit([Replace("things/a", {"one": b"", "n": 1}, version)])
        await documents.commit([Replace("things/a", {"other": part}, version)])

    async def test_a_commit_that_is_too_large_is_refused_before_it_is_sent(self, documents):
        part = {"it": bytes(MAX_COMMIT_BYTES // 4)}
        creations = [Create(f"things/{n}", part) for n in range(4)]
        for attempt in (documents.commit, documents.create_each):
            with pytest.raises(ValueError, match="bytes"):
                await attempt(creations)
        assert await documents.count("things") == 0
        await documents.commit(creations[:3])

    async def test_a_scan_pages_through_a_collection_and_not_below_it(self, documents):
        await documents.commit([Create(f"things/{n:02}", {"n": n}) for n in range(7)])
        await documents.commit([Create("things/03/parts/x", {"n": 99})])
        found, last = [], None
        while page := await documents.scan("things", after=last, limit=3):
            found += [each.fields["n"] for each in page]
            last = page[-1].id
        assert found == list(range(7))
        assert [each.id for each in await documents.scan("things/03/parts")] == ["x"]

    async def test_ids_are_also_those_of_what_is_no_document_but_has_some_below(self, documents):
        assert await documents.ids("owners") == ([], "")
        below = [Create(f"owners/o{number}/things/t", {"n": 1}) for number in range(5)]
        deeper = [Create("owners/o1/things/t/parts/p", {"n": 1}), Create("owners/o5", {"n": 1})]
        await documents.commit([*below, *deeper, Create("ownersNot/o9", {"n": 1})])
        found, token, pages = [], "", 0
        while pages == 0 or token:
            page, token = await documents.ids("owners", token=token, limit=2)
            assert len(page) <= 2
            found += page
            pages += 1
        assert sorted(found) == ["o0", "o1", "o2", "o3", "o4", "o5"]
        assert (await documents.ids("owners/o1/things"))[0] == ["t"]

    async def test_a_query_in_order_of_ids_goes_on_behind_a_document_that_is_gone(self, documents):
        await documents.commit([Create(f"things/{name}", {"n": 1}) for name in "abcd"])
        page = await documents.find(Find("things", only=["n"], limit=2))
        await documents.delete_each([each.path for each in page])
        rest = await documents.find(Find("things", only=["n"], after=page[-1], limit=5))
        assert [each.id for each in rest] == ["c", "d"]

    async def test_a_count_counts(self, documents):
        assert await documents.count("things") == 0
        await documents.commit([Create(f"things/{n}", {}) for n in range(5)])
        assert await documents.count("things") == 5

    async def test_a_count_counts_what_is_equal(self, documents):
        parts = [{"kind": "ab"[n % 2], "rank": n // 3} for n in range(6)]
        await documents.commit([Create(f"things/{n}", each) for n, each in enumerate(parts)])
        assert await documents.count("things", where={"kind": "a"}) == 3
        assert await documents.count("things", where={"kind": "a", "rank": 0}) == 2
        assert await documents.count("things", where={"kind": "c"}) == 0

    async def test_a_query_filters_orders_selects_and_pages(self, documents):
        await documents.commit(
            [Create(f"things/{n}", {"kind": "ab"[n % 2], "rank": n // 4, "extra": n}) for n in range(8)]
        )
        query = Find("things", where={"kind": "a"}, order=["-rank"], only=["rank"], limit=3)
        first = await documents.find(query)
        assert [(each.id, dict(each.fields)) for each in first] == [
            ("6", {"rank": 1}),
            ("4", {"rank": 1}),
            ("2", {"rank": 0}),
        ]
        following = await documents.find(
            Find("things", where={"kind": "a"}, order=["-rank"], only=["rank"], after=first[-1], limit=3)
        )
        assert [each.id for each in following] == ["0"]

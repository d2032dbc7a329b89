"""What every archive promises; each adapter's test inherits it."""

import pytest

from shared.errors import Conflict, NotFound


class ArchiveContract:
    """Subclasses provide the fixture ``archive``, empty."""

    async def test_what_was_put_is_there_and_the_same_again_changes_nothing(self, archive):
        with pytest.raises(NotFound):
            await archive.get("2026-11/a1/r/0001.gz")
        await archive.put("2026-11/a1/r/0001.gz", b"\x1f\x8b\x00 content")
        await archive.put("2026-11/a1/r/0001.gz", b"\x1f\x8b\x00 content")
        assert await archive.get("2026-11/a1/r/0001.gz") == b"\x1f\x8b\x00 content"

    async def test_something_else_under_the_same_name_is_a_conflict(self, archive):
        await archive.put("one", b"first")
        with pytest.raises(Conflict):
            await archive.put("one", b"second")
        assert await archive.get("one") == b"first"

    async def test_names_are_those_that_begin_with_the_prefix_in_order(self, archive):
        assert await archive.names("erasures/") == []
        for name in ("erasures/b", "erasures/a/deep", "erasures-not", "other/erasures/c"):
            await archive.put(name, name.encode())
        assert await archive.names("erasures/") == ["erasures/a/deep", "erasures/b"]
        assert await archive.names("erasures/b") == ["erasures/b"]
        assert await archive.names("eras") == ["erasures-not", "erasures/a/deep", "erasures/b"]
        assert len(await archive.names("")) == 4

    async def test_more_names_than_fit_on_a_page_are_all_told(self, archive):
        names = [f"many/{number:03d}" for number in range(30)]
        for name in reversed(names):
            await archive.put(name, b"")
        assert await archive.names("many/") == names

    async def test_what_is_deleted_is_gone_and_the_same_again_changes_nothing(self, archive):
        await archive.put("2026-11/a1", b"first")
        await archive.put("2026-11/a10", b"another")
        await archive.delete("2026-11/a1")
        await archive.delete("2026-11/a1")
        await archive.delete("never/there")
        with pytest.raises(NotFound):
            await archive.get("2026-11/a1")
        assert await archive.names("") == ["2026-11/a10"]

    async def test_a_name_may_be_used_again_after_it_was_deleted(self, archive):
        await archive.put("one", b"first")
        await archive.delete("one")
        await archive.put("one", b"second")
        assert await archive.get("one") == b"second"

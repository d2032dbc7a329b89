"""The archive's two adapters keep one contract; Cloud Storage is a server of its JSON API on this machine."""

import pytest

from shared.archives.cloud_storage import CloudStorageArchive
from shared.archives.folder import FolderArchive
from shared.errors import Unavailable
from tests.archive_contract import ArchiveContract
from tests.cloud_storage import cloud_storage


class TestFolder(ArchiveContract):
    @pytest.fixture
    def archive(self, tmp_path):
        return FolderArchive(tmp_path / "archive")

    async def test_what_a_killed_writer_left_is_no_object_and_goes_with_it(self, archive, tmp_path):
        await archive.put("2026-11/a1", b"whole")
        draft = tmp_path / "archive/2026-11/a1.4711.part"
        draft.write_bytes(b"half")
        assert await archive.names("") == ["2026-11/a1"]
        await archive.delete("2026-11/a1")
        assert not draft.exists()

    async def test_a_name_is_no_pattern_for_others_drafts(self, archive, tmp_path):
        draft = tmp_path / "archive/ab.4711.part"
        draft.parent.mkdir()
        draft.write_bytes(b"another's")
        await archive.delete("[ab]*")
        assert draft.exists()

    async def test_a_folder_that_cannot_be_changed_is_unavailable(self, archive, tmp_path):
        (tmp_path / "archive/2026-11/a1").mkdir(parents=True)
        with pytest.raises(Unavailable):
            await archive.delete("2026-11/a1")


class TestCloudStorage(ArchiveContract):
    @pytest.fixture
    def server(self, monkeypatch):
        with cloud_storage() as server:
            host, port = server.server_address
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
            yield server

    @pytest.fixture
    def archive(self, server):
        archive = CloudStorageArchive(project="demo-archive", bucket="archive", prefix="/answers/")
        yield archive
        archive._bucket.client.close()

    async def test_objects_lie_beneath_the_prefix_and_others_are_not_seen(self, archive, server):
        server.objects["elsewhere/2026-11/a1"] = b"another's"
        await archive.put("2026-11/a1", b"ours")
        assert server.objects["answers/2026-11/a1"] == b"ours"
        assert await archive.names("") == ["2026-11/a1"]
        await archive.delete("2026-11/a1")
        assert server.objects == {"elsewhere/2026-11/a1": b"another's"}

    async def test_a_bucket_that_refuses_is_unavailable_and_keeps_what_it_has(self, archive, server):
        await archive.put("2026-11/a1", b"ours")
        server.refused = 403  # as with a retention lock, or without the right to delete
        for attempt in (archive.delete("2026-11/a1"), archive.names(""), archive.put("b", b"")):
            with pytest.raises(Unavailable):
                await attempt
        server.refused = 0
        assert await archive.names("") == ["2026-11/a1"]

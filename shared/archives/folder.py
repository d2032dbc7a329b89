"""The archive as a local folder."""

import asyncio
import glob
import os
from pathlib import Path

from shared.errors import Conflict, NotFound, Unavailable

_DRAFT = ".part"


class FolderArchive:
    """Objects are files below one folder."""

    def __init__(self, folder: Path) -> None:
        """Keep files in *folder*, which is made when it is needed."""
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        """See the port."""
        await asyncio.to_thread(self._put, name, content)

    def _put(self, name: str, content: bytes) -> None:
        path = self._folder / name
        try:
            if path.exists():
                if path.read_bytes() != content:
                    message = f"something else is archived as {name}"
                    raise Conflict(message)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all, also for a reader after a crash.
            draft = path.with_name(f"{path.name}.{os.getpid()}{_DRAFT}")
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            message = "the archive folder cannot be written"
            raise Unavailable(message) from error

    async def get(self, name: str) -> bytes:
        """See the port."""
        try:
            return await asyncio.to_thread((self._folder / name).read_bytes)
        except FileNotFoundError as error:
            message = f"nothing is archived as {name}"
            raise NotFound(message) from error
        except OSError as error:
            message = "the archive folder cannot be read"
            raise Unavailable(message) from error

    async def names(self, prefix: str) -> list[str]:
        """See the port."""
        return await asyncio.to_thread(self._names, prefix)

    def _names(self, prefix: str) -> list[str]:
        found = []
        try:
            for folder, _, files in os.walk(self._folder / prefix.rpartition("/")[0], onerror=_raised):
                found += [(Path(folder) / file).relative_to(self._folder).as_posix() for file in files]
        except FileNotFoundError:
            return []
        except OSError as error:
            message = "the archive folder cannot be listed"
            raise Unavailable(message) from error
        return sorted(name for name in found if name.startswith(prefix) and not name.endswith(_DRAFT))

    async def delete(self, name: str) -> None:
        """See the port."""
        await asyncio.to_thread(self._delete, name)

    def _delete(self, name: str) -> None:
        path = self._folder / name
        try:
            # A writer that was killed has left its draft, and nobody else would ever remove that.
            for draft in path.parent.glob(f"{glob.escape(path.name)}.*{_DRAFT}"):
                draft.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as error:
            message = "the archive folder cannot be written"
            raise Unavailable(message) from error


def _raised(error: OSError) -> None:
    raise error

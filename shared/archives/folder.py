"""The archive as a local folder."""

import asyncio
import os
from pathlib import Path

from shared.errors import Conflict, NotFound, Unavailable


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
            draft = path.with_name(f"{path.name}.{os.getpid()}.part")
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

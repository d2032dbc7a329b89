"""
The archive as a bucket of Cloud Storage.

What is deleted is gone for good when the bucket's soft delete policy says so (seven days, unless it was
changed), and on a bucket with object versioning never: leave that off.
"""

import asyncio
from functools import cached_property
from typing import Any

from google.api_core import exceptions
from google.cloud.storage import Client

from shared.errors import Conflict, NotFound, Unavailable

_DEADLINE_SECONDS = 60.0


class CloudStorageArchive:
    """Objects below one prefix of a bucket; each is created once. A retention lock would keep the erased."""

    def __init__(self, *, project: str, bucket: str, prefix: str) -> None:
        """Keep objects as ``gs://{bucket}/{prefix}/{name}``."""
        self._project = project
        self._bucket_name = bucket
        self._prefix = prefix.strip("/")

    @cached_property
    def _bucket(self) -> Any:
        return Client(project=self._project).bucket(self._bucket_name)

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._path(name))

    async def put(self, name: str, content: bytes) -> None:
        """See the port."""
        await asyncio.to_thread(self._put, name, content)

    def _put(self, name: str, content: bytes) -> None:
        try:
            self._blob(name).upload_from_string(
                content,
                content_type="application/gzip",
                if_generation_match=0,
                timeout=_DEADLINE_SECONDS,
                checksum="crc32c",
            )
        except exceptions.PreconditionFailed:
            if self._get(name) != content:
                message = f"something else is archived as {name}"
                raise Conflict(message) from None
        except exceptions.GoogleAPIError as error:
            message = "the archive bucket cannot be written"
            raise Unavailable(message) from error

    async def get(self, name: str) -> bytes:
        """See the port."""
        return await asyncio.to_thread(self._get, name)

    def _get(self, name: str) -> bytes:
        try:
            content: bytes = self._blob(name).download_as_bytes(timeout=_DEADLINE_SECONDS, raw_download=True)
        except exceptions.NotFound as error:
            message = f"nothing is archived as {name}"
            raise NotFound(message) from error
        except exceptions.GoogleAPIError as error:
            message = "the archive bucket cannot be read"
            raise Unavailable(message) from error
        return content

    async def names(self, prefix: str) -> list[str]:
        """See the port."""
        return await asyncio.to_thread(self._names, prefix)

    def _names(self, prefix: str) -> list[str]:
        own = len(self._path(""))
        try:
            found = self._bucket.list_blobs(
                prefix=self._path(prefix), fields="items(name),nextPageToken", timeout=_DEADLINE_SECONDS
            )
            return sorted(blob.name[own:] for blob in found)
        except exceptions.GoogleAPIError as error:
            message = "the archive bucket cannot be listed"
            raise Unavailable(message) from error

    async def delete(self, name: str) -> None:
        """See the port."""
        await asyncio.to_thread(self._delete, name)

    def _delete(self, name: str) -> None:
        try:
            self._blob(name).delete(timeout=_DEADLINE_SECONDS)
        except exceptions.NotFound:
            return
        except exceptions.GoogleAPIError as error:
            message = "the archive bucket cannot be written"
            raise Unavailable(message) from error

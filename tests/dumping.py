"""Everything in a project of the Firestore emulator, found without knowing what there is."""

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import httpx


class Dump:
    """Documents by path, as Firestore tells them: with their times, so that a rewritten one shows."""

    def __init__(self, documents: dict[str, dict[str, Any]]) -> None:
        self.documents = documents

    @property
    def collections(self) -> set[str]:
        """The names of all collections."""
        return {path.split("/")[-2] for path in self.documents}

    def without(self, *roots: str) -> "Dump":
        """Without what lies beneath these."""
        kept = {path: each for path, each in self.documents.items() if path.split("/")[0] not in roots}
        return Dump(kept)

    def naming(self, text: str) -> set[str]:
        """The paths of documents that have *text* in a name, a value, or in bytes, packed or not."""
        return {path for path, each in self.documents.items() if text in path or says(each["fields"], text)}


def says(value: Any, text: str) -> bool:
    """Whether *text* stands in *value*, as the store or its REST interface has it: in bytes, packed or not, too."""
    if isinstance(value, bytes):
        return any(text.encode() in each for each in _unpacked(value))
    if isinstance(value, dict):
        if isinstance(value.get("bytesValue"), str):
            return any(text.encode() in each for each in _unpacked(base64.b64decode(value["bytesValue"])))
        return any(text in name or says(each, text) for name, each in value.items())
    if isinstance(value, list):
        return any(says(each, text) for each in value)
    return text in str(value)


def _unpacked(raw: bytes) -> Iterator[bytes]:
    """*raw*, and what it is compressed from, in lines or as a whole."""
    yield raw
    for part in (raw, *raw.split(b"\n")):
        for packed in (part, _decoded(part)):
            for bits in (15, 31, -15):
                try:
                    yield zlib.decompress(packed, bits)
                except zlib.error:
                    continue


def _decoded(raw: bytes) -> bytes:
    try:
        return base64.b64decode(raw, validate=True)
    except ValueError:
        return b""


async def dump(host: str, project: str) -> Dump:
    """All documents of *project* in the emulator at *host*: one query for all collections at every depth."""
    root = f"projects/{project}/databases/(default)/documents"
    everything = {"structuredQuery": {"from": [{"allDescendants": True}]}}
    async with httpx.AsyncClient(
        base_url=f"http://{host}/v1/", headers={"Authorization": "Bearer owner"}, timeout=60
    ) as client:
        response = await client.post(f"{root}:runQuery", json=everything)
    response.raise_for_status()
    documents = [each["document"] for each in response.json() if "document" in each]
    found = {each["name"].removeprefix(f"{root}/"): {"fields": {}, **each} for each in documents}
    return Dump(dict(sorted(found.items())))

"""A process that puts answers on record and prints them, as submitting instances publish them."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence

from shared.learning.answers import encode
from tests.bench import material
from tests.bench.merging import put_on_record

_TOGETHER = 50
_AT_ONCE = 4


async def offer(project: str, each: int, names: Sequence[str]) -> None:
    """Record *each* answers of every assignment in *names*, in turns."""
    store = material.documents(dict(os.environ), project)
    answers = {name: material.answers(each, name) for name in names}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, start: int) -> None:
        part = answers[name][start : start + _TOGETHER]
        async with gate:
            await put_on_record(store, part)
            print(json.dumps([encode(event) for event in part]), flush=True)

    await asyncio.gather(*(one(name, start) for start in range(0, each, _TOGETHER) for name in names))
    await store.close()


if __name__ == "__main__":
    asyncio.run(offer(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))

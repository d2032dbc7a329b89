"""One instance: asks for the same stream so many times at once, and prints what came."""

import asyncio
import hashlib
import json
import sys

import orjson

from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.gateway.allowed import CHAT, passing
from shared.gateway.build import allowance
from shared.settings import get_settings
from shared.wiring import Services


async def main(count: int, leaving: int, text: str) -> None:
    """Let *count* readers ask, of whom the first *leaving* go away soon; tell what the others were told."""
    services = Services(get_settings())
    services.__dict__["budgets"] = MemoryBudgets(Ceilings(*[10**12] * 5), now=services.now)
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": text}], "stream": True}
    request = passing(CHAT, orjson.dumps(body), allowance(services.settings, teacher=False))

    async def read() -> str:
        told = await services.proxy.stream(request, Payer(uid="ann"))
        if isinstance(told, bytes):
            return _digest(told)
        whole = b"".join([each async for each in told])
        await told.settle()
        return _digest(whole)

    async def leave() -> None:
        told = await services.proxy.stream(request, Payer(uid="ann"))
        if not isinstance(told, bytes):
            told.abandon()
            await told.settle()

    goers = [asyncio.create_task(leave()) for _ in range(leaving)]
    readers = [asyncio.create_task(read()) for _ in range(count - leaving)]
    digests = await asyncio.gather(*readers)
    await asyncio.gather(*goers)
    print(json.dumps({"asked": len(digests), "digests": sorted(set(digests))}))
    await services.close()


def _digest(data: bytes) -> str:
    assert data.endswith(b"data: [DONE]\n\n"), data[-200:]
    return hashlib.sha256(data).hexdigest()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))

"""One instance: asks the same so many times at once, and prints what came."""

import asyncio
import json
import sys

from shared.budgets.base import Payer
from shared.budgets.ladder import Ceilings
from shared.budgets.memory import MemoryBudgets
from shared.caching.base import CacheUse
from shared.gateway.base import Ask
from shared.settings import get_settings
from shared.wiring import Services


async def main(count: int, text: str) -> None:
    """Ask, and tell."""
    services = Services(get_settings())
    services.__dict__["budgets"] = MemoryBudgets(Ceilings(*[10**12] * 5), now=services.now)
    use = CacheUse("chat", {"prompt": "1"}, uid="ann")
    messages = ({"role": "user", "content": text},)
    ask = Ask(
        task="chat",
        model_class="small",
        messages=messages,
        max_tokens=50,
        cache=use,
        deadline_seconds=30,
    )
    asking = [services.gateway.complete(ask, Payer(uid="ann")) for _ in range(count)]
    replies = await asyncio.gather(*asking)
    print(json.dumps({"asked": len(replies), "texts": sorted({each.text for each in replies})}))
    await services.close()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

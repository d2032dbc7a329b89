"""One instance: asks the function for the same outline so many times at once, and prints what came."""

import asyncio
import json
import sys

from shared import wiring
from shared.settings import get_settings
from shared.wiring import Services
from tests.deployed import Deployed


async def main(count: int, leaving: int, course_id: str, token: str) -> None:
    """Let *count* callers ask, of whom the first *leaving* go away soon; tell what the others were told."""
    services = Services(get_settings())
    outline = {"courseId": course_id, "topic": "Fractions", "lessons": 2}
    with wiring.using(services):
        app = Deployed(services, lambda _: token)
        asking = [asyncio.create_task(app.ok("generate_skeleton", outline, uid="-")) for _ in range(count)]
        await asyncio.sleep(0.3)
        for each in asking[:leaving]:
            each.cancel()
        replies = await asyncio.gather(*asking[leaving:])
        await asyncio.gather(*asking[:leaving], return_exceptions=True)
        day, *_ = await services.budgets.spent("course", course_id)
        await services.close()
    told = {
        "asked": len(replies),
        "versions": sorted({each["version"] for each in replies}),
        "calls": sum(calls for _, calls in day.by_task.values()),
        "reserved": day.reserved_nanos,
    }
    print(json.dumps(told))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))

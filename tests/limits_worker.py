"""
A real process that asks a shared limiter as fast as it is told to, for tests that run and kill several.

``python -m tests.limits_worker STORE ADDRESS PROJECT KEY POINTS SECONDS RATE``: begins with a line
on its standard input and ends with that; prints one line per call that was allowed (the time of day),
and at the end ``done``, its checks and its round trips.
"""

import asyncio
import os
import random
import sys
import time

from shared.documents.firestore import FirestoreDocuments
from shared.errors import Unavailable
from shared.limits.base import Limit
from shared.limits.leases import LeaseLimiter
from shared.limits.redis import RedisLimiter


async def main(store, address, project, key, points, seconds, rate):
    limit = Limit("ai", key, int(points), int(seconds))
    documents = None
    if store == "redis":
        limiter = RedisLimiter(address)
    else:
        documents = FirestoreDocuments(project=project, database="(default)", emulator_host=address)
        limiter = LeaseLimiter(documents, time.time)
    checks = 0

    async def call():
        try:
            verdict = await limiter.take([limit])
        except Unavailable:
            return
        if verdict.allowed:
            os.write(1, f"{time.time():.6f}\n".encode())

    os.write(1, b"ready\n")
    await asyncio.to_thread(sys.stdin.readline)
    calls = set()
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not ending.done():
        for _ in range(10):
            task = asyncio.create_task(call())
            calls.add(task)
            task.add_done_callback(calls.discard)
            checks += 1
        await asyncio.sleep(10 / float(rate) * random.uniform(0.5, 1.5))
    if calls:
        await asyncio.wait(calls)
    os.write(1, f"done {checks} {getattr(limiter, 'trips', checks)}\n".encode())
    await limiter.close()
    if documents is not None:
        await documents.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Serve the built-in tutor in a process of its own."""

import argparse
import asyncio
import contextlib

import uvloop

from local.tutor.server import Tutor, serving


async def serve(tutor: Tutor, port: int) -> None:
    """Serve until told to stop."""
    async with serving(tutor, port=port):
        await asyncio.Event().wait()


def main() -> None:
    """Serve the built-in tutor: an OpenAI-compatible server with canned replies."""
    parser = argparse.ArgumentParser(prog="python -m local.tutor", description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each reply")
    parser.add_argument("--pace-ms", type=float, default=0.0, help="between the pieces of a stream")
    arguments = parser.parse_args()
    tutor = Tutor(delay_seconds=arguments.delay_ms / 1000, pace_seconds=arguments.pace_ms / 1000)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(tutor, arguments.port))


if __name__ == "__main__":
    main()

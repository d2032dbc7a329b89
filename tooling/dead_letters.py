"""
Show what was set aside, and hand it in again: ``python -m tooling.dead_letters``.

Without options, lists ``deadLetters``. With ``--replay``, posts each letter to its function once more,
as the platform would: what is handled now, because a key or a fault was put right, leaves the
collection; what is set aside again stays. Handing in twice changes nothing: registers know their answers.

Letters that were too large to be kept whole cannot be handed in; where they are messages of ours, their
answers are still pending, and the sweep brings them. Messages in the dead-letter *topic* of
``answers-incoming`` are whole, and all there is of their answers: pull them from its subscription, and
publish them again.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx

from shared.documents.base import Delete, Document, Documents
from shared.errors import PreconditionLost
from shared.ledger.dead_letters import DEAD_LETTERS
from shared.settings import get_settings
from shared.wiring import Services

_PAGE = 20

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Posts a body with headers to the function of a name; the status of the reply."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Letters handled now, set aside again, refused for a passing reason, of no function, and not whole."""

    handled: int = 0
    set_aside_again: int = 0
    refused: int = 0
    without_function: int = 0
    cut: int = 0


async def letters(documents: Documents) -> list[Document]:
    """All letters, in order of their ids."""
    found: list[Document] = []
    while True:
        page = await documents.scan(DEAD_LETTERS, after=found[-1].id if found else None, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


async def replay(documents: Documents, post: Post, *, function: str = "") -> Replayed:
    """Hand in every letter again, or those of one *function*."""
    handled = again = refused = without = cut = 0
    for letter in await letters(documents):
        name, body = letter.fields["function"], bytes(letter.fields["body"])
        if "/" in name:
            without += 1  # a document that the sweep found; there is nothing to post
            continue
        if function and name != function:
            continue
        if letter.fields.get("cut"):
            cut += 1
            continue
        status = await post(name, body, {"content-type": _content_type(body)})
        if not httpx.codes.is_success(status):  # as Pub/Sub understands it
            refused += 1
            continue
        try:
            # Setting a letter aside again moves its version: then it stays.
            await documents.commit([Delete(letter.path, letter.version)])
        except PreconditionLost:
            again += 1
        else:
            handled += 1
    return Replayed(handled, again, refused, without, cut)


def _content_type(body: bytes) -> str:
    try:
        envelope = json.loads(body)
    except ValueError:
        return "application/json"
    is_event = isinstance(envelope, dict) and "specversion" in envelope
    return "application/cloudevents+json" if is_event else "application/json"


async def _main(arguments: argparse.Namespace) -> int:
    services = Services(get_settings())
    try:
        if not arguments.replay:
            for letter in await letters(services.documents):
                fields = letter.fields
                print(
                    f"{fields['at']:%Y-%m-%d %H:%M:%S}  {fields['function']}  {fields['reason']}  {letter.id}"
                )
            return 0
        async with httpx.AsyncClient(timeout=60) as client:

            async def post(name: str, body: bytes, headers: Mapping[str, str]) -> int:
                token = {"authorization": f"Bearer {arguments.token}"} if arguments.token else {}
                url = f"{arguments.functions.rstrip('/')}/{name}"
                return (await client.post(url, content=body, headers={**headers, **token})).status_code

            done = await replay(services.documents, post, function=arguments.function)
        print(
            f"{done.handled} handled, {done.set_aside_again} set aside again, "
            f"{done.refused} refused for now, {done.without_function} without a function, "
            f"{done.cut} too large to have been kept whole"
        )
        return 1 if done.refused else 0
    finally:
        await services.close()


def main() -> int:
    """Read the command line."""
    settings = get_settings()
    parser = argparse.ArgumentParser(prog="python -m tooling.dead_letters", description=__doc__)
    parser.add_argument("--replay", action="store_true", help="hand in every letter again")
    parser.add_argument("--function", default="", help="only those of this function")
    parser.add_argument(
        "--functions",
        default=f"http://127.0.0.1:8080/{settings.project}/{settings.region}",
        help="where the functions are",
    )
    parser.add_argument("--token", default="", help="an OIDC token that may wake event functions")
    return asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())

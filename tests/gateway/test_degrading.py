"""G13, SEC-24 and SEC-25: a provider that fails harms nobody who submits answers, and nothing tells its secrets."""

import asyncio
import logging
import os
import subprocess
import sys

import pytest

from local.tutor.server import CANARY, FAULTS
from shared.documents.memory import MemoryDocuments
from shared.edge.logs import JsonLines
from tests.gateway.served import served
from tests.running import ROOT

KEY = "sk-canary-" + "k" * 40
HARMLESS = ("no-usage", "malicious", "wrong-schema")
"""What a model says is the reader's to doubt; the proxy passes it on. Its tasks check it."""


async def question(place):
    """A course with one question; what a learner needs to answer it."""
    form = await place.app.imported("::Q:: Two and two? {#4}")
    return form["assignmentId"], form["questions"][0]["questionId"]


def answer(ids, n):
    assignment, asked = ids
    return {
        "assignmentId": assignment,
        "questionId": asked,
        "answer": {"number": n},
        "submissionId": f"s{n}",
    }


@pytest.mark.parametrize("fault", [*FAULTS, "gone"])
async def test_a_provider_that_fails_stops_no_answer(tutor, fault):
    """Twelve ways to fail, and none to be there at all; a hundred answers during each are all accepted."""
    tutor.fault, tutor.slow_seconds, tutor.drip_seconds = fault, 30, 1
    async with served(tutor, proxy_seconds=1.5, rate_call_points=10**6) as place:
        ids = await question(place)
        if fault == "gone":
            place.services.upstream._pool._origin = type(place.services.upstream._pool._origin)(
                host="127.0.0.1", port=1, secure=False, prefix="/v1"
            )
        loop = asyncio.get_running_loop()

        async def ask(n, stream):
            began = loop.time()
            reply = await place.chat(f"question {n}", stream=stream)
            return reply, loop.time() - began, stream

        asking = [asyncio.create_task(ask(n, stream=bool(n % 2))) for n in range(8)]
        submitted = await asyncio.gather(
            *(place.post("submit_answer", answer(ids, n), f"learner{n}") for n in range(100))
        )
        assert [each.status_code for each in submitted] == [202] * 100
        for reply, seconds, stream in await asyncio.gather(*asking):
            assert seconds < 1.5 + 10  # its deadline, and what a busy machine takes for all of this at once
            assert CANARY not in reply.text
            if fault in HARMLESS:
                assert reply.status_code == 200
            elif stream and reply.status_code == 200:
                assert b'"error"' in reply.content
            else:
                assert reply.status_code == 503, (fault, stream, reply.text)
                assert int(reply.headers["retry-after"]) >= 1
        assert (await place.figures()).reserved_nanos == 0


def test_accepting_an_answer_loads_nothing_that_asks_models():
    script = (
        "import sys, asyncio, main; main.submit_answer; main.ingest_answers; main.on_answer_created;"
        "main.merge_answers;"
        "import shared.wiring;"
        "loaded = sorted(each for each in sys.modules if each.split('.')[0] in "
        "('openai', 'httpx2', 'redis', 'cachetools') or each.startswith(('shared.gateway', 'shared.tutoring', "
        "'shared.caching')));"
        "print(loaded)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


class Lines(logging.Handler):
    """Every log record of every logger, as it would be written, and as it is."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record):
        self.text += JsonLines().format(record) + "\n" + record.getMessage() + "\n"


@pytest.mark.parametrize("fault", ["", *FAULTS])
async def test_the_providers_key_and_words_and_the_learners_words_are_told_nowhere(tutor, fault, capfd):
    tutor.fault, tutor.drip_seconds = fault, 1
    root, lines = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    logging.getLogger("lectern").addHandler(lines)
    documents = MemoryDocuments()
    said = "the learner's own words 5309"
    try:
        async with served(
            tutor, openai_api_key=KEY, proxy_seconds=0.7, documents=documents, cache="firestore"
        ) as place:
            replies = []
            for stream in (False, True):
                replies.append(await place.chat(said, stream=stream))
                replies.append(await place.chat(said, stream=stream, n=7))
            replies.append(await place.chat(said, "bad"))
            shown = f"{place.services.settings!r} {place.services.upstream!r}"
    finally:
        root.setLevel(level)
        root.removeHandler(lines)
        logging.getLogger("lectern").removeHandler(lines)
    assert tutor.requests[-1][1]["authorization"] == f"Bearer {KEY}"
    captured = capfd.readouterr()
    logs = lines.text + captured.out + captured.err
    told = "".join(each.text + str(each.headers) for each in replies)
    stored = repr(documents.dump())
    for place_, text in (("logs", logs), ("replies", told), ("documents", stored), ("reprs", shown)):
        assert KEY not in text, place_
        assert "sk-canary" not in text, place_
        assert CANARY not in text, place_
        assert "Traceback" not in told
        assert said not in text, place_

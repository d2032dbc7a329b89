"""Posts xAPI statements to a learning record store: ``python -m tests.bench.peers.ralph PORT SECONDS``."""

import asyncio
import base64
import json
import sys
import time
import uuid

from tests.bench import load, serving
from tests.bench.report import ROOT

_IN_FLIGHT = (1, 16, 64)
_AUTHORIZATION = base64.b64encode(b"bench:bench").decode()


def statement(number: int) -> dict:
    """Somebody answered something."""
    return {
        "id": str(uuid.uuid4()),
        "actor": {"mbox": f"mailto:student-{number % 1000}@example.org"},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/answered"},
        "object": {"id": f"https://example.org/exam/q{number % 20}"},
        "result": {"response": "a", "success": number % 2 == 0},
    }


def request(number: int, together: int) -> bytes:
    """A POST of some statements."""
    body = json.dumps([statement(number * together + place) for place in range(together)]).encode()
    head = (
        "POST /xAPI/statements/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"x-experience-api-version: 1.0.3\r\nauthorization: Basic {_AUTHORIZATION}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(port: int, seconds: float) -> list[dict]:
    """Statements a second, one to a request and fifty, as the store grows."""
    rows = []
    for together in (1, 50):
        for users in _IN_FLIGHT:
            outcome = await load.run(
                "127.0.0.1", port, lambda n, many=together: request(n, many), users=users, seconds=seconds
            )
            row = {
                "together": together,
                "users": users,
                "statements_per_s": round(outcome.rate * together, 1),
                "p95_ms": round(outcome.percentile(0.95), 1),
                "errors": outcome.errors,
            }
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def main() -> None:
    """Measure, and write ``bench/ralph.json``."""
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    serving.wait_for(port)
    time.sleep(1)
    rows = asyncio.run(measure(port, seconds))
    (ROOT / "bench").mkdir(exist_ok=True)
    (ROOT / "bench" / "ralph.json").write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""One JSON line per log event, in the shape that Cloud Logging reads; an allow-list of fields."""

import logging
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from shared.errors import LecternError, Rejected

ALLOWED = (
    "function",
    "status",
    "duration_ms",
    "request_id",
    "trace",
    "code",
    "assignment_id",
    "event_id",
    "erasure_id",
    "shard",
    "answers",
    "reason",
    "reads",
    "writes",
    "deletes",
    "rpcs",
    "count",
    "expected",
    "message_id",
    "attempt",
    "rate_class",
    "most_limited",
    "scope",
    "scope_id",
    "period",
    "percent",
    "nanos",
)
"""No answers, names, addresses, tokens or prompts: what is not listed here is not logged."""


class JsonLines(logging.Formatter):
    """Writes a record as one line, in one write."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's name, severity and allowed particulars."""
        entry: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "time": datetime.fromtimestamp(record.created, UTC),
        }
        if isinstance(record, _Request):
            entry.update(record.particulars)
        else:
            told = record.__dict__
            entry.update({name: told[name] for name in ALLOWED if name in told})
        if record.exc_info and record.exc_info[1] is not None:
            entry["stack_trace"] = _where(record.exc_info[1])
        return orjson.dumps(entry, default=str).decode()


def _where(error: BaseException) -> str:
    """
    What kind of error was raised, from which, and where: not what it says.

    Libraries quote what they choke on (pydantic the input, gRPC the document), and that may be anybody's.
    Our own outages are told, as they name nothing but parts of the system.
    """
    lines = []
    seen: BaseException | None = error
    while seen is not None:
        kind = f"{type(seen).__module__}.{type(seen).__qualname__}"
        told = isinstance(seen, LecternError) and not isinstance(seen, Rejected)
        lines.append(f"{kind}: {seen}" if told else kind)
        lines.extend(
            f"  {frame.filename}:{frame.lineno} in {frame.name}"
            for frame in traceback.extract_tb(seen.__traceback__)
        )
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(lines)


def configure() -> None:
    """Send the log events of this product to standard error, once."""
    logger = logging.getLogger("lectern")
    if logger.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


log = logging.getLogger("lectern")


class _Request(logging.LogRecord):
    """
    The record of a request, with nothing in it that no handler of ours reads.

    ``logging`` walks the stack and asks for thread, process and task for each record; of the one record
    that every request makes, that was most of the cost.
    """

    def __init__(self, particulars: Mapping[str, object]) -> None:
        """Say *particulars* of a request that is over, all of them allowed ones."""
        self.particulars = particulars
        now = time.time()
        self.__dict__.update(
            particulars,
            name=log.name,
            msg="request",
            args=(),
            levelname="INFO",
            levelno=logging.INFO,
            created=now,
            msecs=now % 1 * 1000,
            exc_info=None,
            exc_text=None,
            stack_info=None,
            pathname=__file__,
            filename="logs.py",
            module="logs",
            funcName="log_request",
            lineno=0,
        )


def log_request(particulars: Mapping[str, object]) -> None:
    """Say that a request is over, as ``log.info("request", extra=particulars)`` would."""
    if log.isEnabledFor(logging.INFO):
        log.handle(_Request(particulars))

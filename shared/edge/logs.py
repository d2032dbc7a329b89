"""One JSON line per log event, in the shape that Cloud Logging reads; an allow-list of fields."""

import logging
import sys
import traceback
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
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        for name in ALLOWED:
            if name in record.__dict__:
                entry[name] = record.__dict__[name]
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

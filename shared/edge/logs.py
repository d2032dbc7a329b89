"""One JSON line per log event, in the shape that Cloud Logging reads; an allow-list of fields."""

import json
import logging
import sys
from datetime import UTC, datetime

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
        if record.exc_info:
            entry["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


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

"""
Files and batches as OpenAI's interface has them: a batch is done when it is looked at the second time.

What a batch is answered is the same as if each of its requests had been sent by itself. A fault that is
named when a batch begins shows in what becomes of it (``BATCH_FAULTS``); ``404`` and ``405`` are a provider
that takes none.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs

import orjson

from local.tutor import replies

BATCH_FAULTS = (
    "404",
    "405",
    "batch-failed",
    "batch-crowded",
    "batch-expired",
    "item-errors",
    "billed-errors",
    "out-of-order",
    "unknown-id",
    "duplicate-id",
    "truncated-file",
)

_LOOKS = 2
_PAGE = 20
_DAY = 86_400
_JSON = b"application/json"
Answer = tuple[int, bytes, bytes]
"""Status, content type, content."""


@dataclass
class _File:
    id: str
    name: str
    purpose: str
    content: bytes
    created_at: int

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": None,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


@dataclass
class _Batch:
    id: str
    input_file: str
    endpoint: str
    metadata: Mapping[str, str]
    created_at: int
    fault: str
    status: str = "validating"
    looks: int = 0
    asked: int = 0
    """How many of its requests a model was asked."""
    output_file: str | None = None
    error_file: str | None = None
    used: tuple[int, int] = (0, 0)
    """Its prompts' and replies' tokens."""
    done: str = "completed"
    results: tuple[bytes, bytes] = (b"", b"")
    errors: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        failed = {"object": "list", "data": self.errors} if self.status == "failed" else None
        ended = self.status not in {"validating", "in_progress", "cancelling"}
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": failed,
            "input_file_id": self.input_file,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": self.created_at,
            "in_progress_at": self.created_at,
            "expires_at": self.created_at + _DAY,
            "completed_at": self.created_at if self.status == "completed" else None,
            "failed_at": self.created_at if self.status == "failed" else None,
            "expired_at": self.created_at if self.status == "expired" else None,
            "cancelled_at": self.created_at if self.status == "cancelled" else None,
            "request_counts": {
                "total": self.asked,
                "completed": self.results[0].count(b"\n") if ended else 0,
                "failed": self.results[1].count(b"\n") if ended else 0,
            },
            "usage": self._usage() if ended else None,
            "metadata": dict(self.metadata),
        }

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self.used
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + completion,
        }


@dataclass
class BatchDesk:
    """
    What was handed in, and what it cost: *billed* has prompt and completion tokens by request's name.

    *now* gives the seconds since 1970.
    """

    now: Callable[[], float] = time.time
    files: dict[str, _File] = field(default_factory=dict)
    batches: dict[str, _Batch] = field(default_factory=dict)
    billed: list[tuple[str, int, int]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """All requests about files and batches: method and path."""
    made: Counter[str] = field(default_factory=Counter)

    @property
    def newest(self) -> _Batch:
        """The batch that began last."""
        return next(reversed(self.batches.values()))

    def answer(self, method: str, path: str, query: str, kind: str, body: bytes, fault: str) -> Answer:
        """Answer one request about files or batches."""
        parts = path.strip("/").split("/")[1:]
        match method, parts:
            case "POST", ["files"]:
                return self._upload(kind, body)
            case "GET", ["files"]:
                return _ok({"object": "list", "data": [each.told() for each in self.files.values()]})
            case "GET", ["files", name] if name in self.files:
                return _ok(self.files[name].told())
            case "GET", ["files", name, "content"] if name in self.files:
                return 200, b"application/octet-stream", self.files[name].content
            case "DELETE", ["files", name] if name in self.files:
                del self.files[name]
                return _ok({"id": name, "object": "file", "deleted": True})
            case "POST", ["batches"]:
                return self._begin(body, fault)
            case "GET", ["batches"]:
                return self._list(query)
            case "GET", ["batches", name] if name in self.batches:
                return self._look(self.batches[name])
            case "POST", ["batches", name, "cancel"] if name in self.batches:
                return self._cancel(self.batches[name])
        return _refused(404, "there is no such thing here")

    def _upload(self, kind: str, body: bytes) -> Answer:
        form = BytesParser(policy=HTTP).parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body)
        fields, upload, name = {}, None, ""
        for part in form.iter_parts() if form.is_multipart() else ():
            content: Any = part.get_payload(decode=True)
            title = part.get_param("name", header="content-disposition")
            if title == "file":
                upload, name = content, part.get_filename() or ""
            else:
                fields[str(title)] = content.decode()
        if upload is None or fields.get("purpose") != "batch":
            return _refused(400, "a file and its purpose are wanted")
        return _ok(self._keep(name, "batch", upload).told())

    def _keep(self, name: str, purpose: str, content: bytes) -> _File:
        made = _File(self._name("file-"), name, purpose, content, int(self.now()))
        self.files[made.id] = made
        return made

    def _name(self, kind: str) -> str:
        self.made[kind] += 1
        return kind + hashlib.sha256(f"{kind}{self.made[kind]}".encode()).hexdigest()[:24]

    def _begin(self, body: bytes, fault: str) -> Answer:
        try:
            wanted = orjson.loads(body)
            source = self.files[wanted["input_file_id"]]
            endpoint, window = wanted["endpoint"], wanted["completion_window"]
        except (ValueError, KeyError, TypeError):
            return _refused(400, "an input file is wanted")
        if window != "24h" or endpoint != "/v1/chat/completions":
            return _refused(400, "only chat completions within 24h are batched")
        made = _Batch(
            self._name("batch_"), source.id, endpoint, wanted.get("metadata") or {}, int(self.now()), fault
        )
        requests = _requests(source.content, endpoint)
        if requests is None or fault in {"batch-failed", "batch-crowded"}:
            made.done = "failed"
            code = "token_limit_exceeded" if fault == "batch-crowded" else "invalid_json_line"
            error = {"code": code, "line": None, "message": "not taken", "param": None}
            made.errors = [error]
        else:
            made.results = self._work(made, requests)
        self.batches[made.id] = made
        return _ok(made.told())

    def _work(self, batch: _Batch, requests: list[tuple[str, dict[str, Any]]]) -> tuple[bytes, bytes]:
        fault, good, bad = batch.fault, [], []
        for number, (name, body) in enumerate(requests):
            if fault == "batch-expired" and number % 2:
                bad.append(
                    _line(name, None, ("batch_expired", "This request could not be executed in time."))
                )
                batch.done = "expired"
                continue
            if fault in {"item-errors", "billed-errors"} and number % 2 == 0:
                if fault == "billed-errors":
                    self._bill(batch, name, replies.told(replies.asked(body)).prompt_tokens, 0)
                refusal = {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}
                bad.append(_line(name, (400, refusal), None))
                continue
            asked = replies.asked(body)
            told = replies.told(asked, fault)
            batch.asked += 1
            value = replies.completion(asked, told, usage=fault != "no-usage")
            if fault == "empty":
                value["choices"] = []
            times = 2 if fault == "duplicate-id" else 1
            for _ in range(times):
                self._bill(batch, name, told.prompt_tokens, told.completion_tokens)
            good += [_line(name, (200, value), None)] * times
        if fault == "out-of-order":
            good.reverse()
        if fault == "unknown-id" and good:
            good.insert(0, good[0].replace(requests[0][0].encode(), b"nobody-asked-this", 1))
        output = b"".join(good)
        if fault == "truncated-file":
            output = output[: len(output) * 2 // 3]
        return output, b"".join(bad)

    def _bill(self, batch: _Batch, name: str, prompt: int, completion: int) -> None:
        self.billed.append((name, prompt, completion))
        batch.used = (batch.used[0] + prompt, batch.used[1] + completion)

    def _look(self, batch: _Batch) -> Answer:
        batch.looks += 1
        if batch.status in {"validating", "in_progress"}:
            batch.status = "in_progress"
            if batch.looks >= _LOOKS:
                self._end(batch, batch.done)
        return _ok(batch.told())

    def _end(self, batch: _Batch, status: str) -> None:
        batch.status = status
        output, errors = batch.results
        if output:
            batch.output_file = self._keep(f"{batch.id}_output.jsonl", "batch_output", output).id
        if errors:
            batch.error_file = self._keep(f"{batch.id}_error.jsonl", "batch_output", errors).id

    def _cancel(self, batch: _Batch) -> Answer:
        if batch.status in {"validating", "in_progress"}:
            self._end(batch, "cancelled")
        return _ok(batch.told())

    def _list(self, query: str) -> Answer:
        given = parse_qs(query)
        newest = list(reversed(self.batches.values()))
        after = given.get("after", [""])[0]
        if after:
            places = [number for number, each in enumerate(newest) if each.id == after]
            newest = newest[places[0] + 1 :] if places else []
        limit = int(given.get("limit", [str(_PAGE)])[0])
        page = [each.told() for each in newest[:limit]]
        return _ok(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": len(newest) > limit,
            }
        )


def _requests(content: bytes, endpoint: str) -> list[tuple[str, dict[str, Any]]] | None:
    """The requests in a file, or None if it is none for *endpoint*."""
    found: dict[str, dict[str, Any]] = {}
    for raw in content.splitlines():
        try:
            line = orjson.loads(raw)
            name, body = line["custom_id"], line["body"]
        except (ValueError, KeyError, TypeError):
            return None
        if line.get("method") != "POST" or line.get("url") != endpoint or name in found:
            return None
        found[name] = body
    return list(found.items()) or None


def _line(name: str, response: tuple[int, Any] | None, error: tuple[str, str] | None) -> bytes:
    value: dict[str, Any] = {
        "id": f"batch_req_{name[:12]}",
        "custom_id": name,
        "response": None,
        "error": None,
    }
    if response is not None:
        status, body = response
        value["response"] = {"status_code": status, "request_id": f"req_{name[:12]}", "body": body}
    if error is not None:
        value["error"] = {"code": error[0], "message": error[1]}
    return orjson.dumps(value) + b"\n"


def _ok(value: object) -> Answer:
    return 200, _JSON, orjson.dumps(value)


def _refused(status: int, message: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return status, _JSON, orjson.dumps({"error": error})

"""The only table of HTTP statuses, and the two envelopes in which an error leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from shared import errors


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as callers see it: canonical code, HTTP status and title."""

    code: str
    status: int
    title: str


INTERNAL = Problem("internal", 500, "Something went wrong on our side")

_TABLE: dict[type[BaseException], Problem] = {
    errors.TooLarge: Problem("invalid-argument", 413, "The request is too large"),
    errors.InvalidRequest: Problem("invalid-argument", 400, "The request is not valid"),
    errors.NotSignedIn: Problem("unauthenticated", 401, "Sign in first"),
    errors.NotAllowed: Problem("permission-denied", 403, "You may not do this"),
    errors.NotFound: Problem("not-found", 404, "There is no such thing"),
    errors.Conflict: Problem("already-exists", 409, "Something else is there already"),
    errors.TooManyRequests: Problem("resource-exhausted", 429, "Too many requests"),
    errors.PreconditionLost: Problem("aborted", 409, "Somebody else was first; try again"),
    errors.DeadlineExceeded: Problem("deadline-exceeded", 504, "This took too long"),
    errors.Unavailable: Problem("unavailable", 503, "Not available at the moment; try again"),
}


def problem_of(error: BaseException) -> Problem:
    """What *error* is to a caller; anything that was not raised on purpose is internal."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    return INTERNAL


def as_problem_json(error: BaseException, *, request_id: str) -> dict[str, Any]:
    """The body of a plain REST error, after RFC 9457."""
    problem = problem_of(error)
    body: dict[str, Any] = {
        "type": f"urn:lectern:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": _message(error, problem),
        "requestId": request_id,
    }
    if details := _details(error):
        body["details"] = details
    return body


def as_callable_error(error: BaseException, *, request_id: str) -> dict[str, Any]:
    """The body of a callable's error, as the Firebase client SDKs read it."""
    problem = problem_of(error)
    inner: dict[str, Any] = {
        "status": problem.code.replace("-", "_").upper(),
        "message": _message(error, problem),
    }
    if details := _details(error):
        inner["details"] = details
    return {"error": inner, "requestId": request_id}


_OPENAI_TYPES = {
    "unauthenticated": ("authentication_error", "invalid_api_key"),
    "permission-denied": ("permission_error", "permission_denied"),
    "resource-exhausted": ("rate_limit_error", "rate_limit_exceeded"),
}


def as_openai_error(error: BaseException, *, request_id: str) -> dict[str, Any]:
    """The body of an error as OpenAI's client libraries read it."""
    problem = problem_of(error)
    server_side = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    usual = ("server_error" if server_side else "invalid_request_error", problem.code.replace("-", "_"))
    kind, code = _OPENAI_TYPES.get(problem.code, usual)
    details = _details(error)
    return {
        "error": {
            "message": _message(error, problem),
            "type": kind,
            "param": details[0].get("path") if details else None,
            "code": code,
        },
        "requestId": request_id,
    }


def headers_of(error: BaseException) -> dict[str, str]:
    """What else a client should know, such as when to come back."""
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, errors.NotSignedIn):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def _message(error: BaseException, problem: Problem) -> str:
    # Only what was raised on purpose, for the caller, is told; an outage's particulars are ours alone.
    told = isinstance(error, errors.Rejected | errors.TooManyRequests)
    return error.message if told and isinstance(error, errors.LecternError) else problem.title


def _details(error: BaseException) -> list[Mapping[str, Any]]:
    return list(error.details) if isinstance(error, errors.Rejected) else []

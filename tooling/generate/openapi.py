"""``docs/openapi.json``: the functions that clients call, as plain REST."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from shared.edge.registry import ClientCall, Deployment, Passed, PassedHeader, PassThrough, Role

VERSION = "0.1.0"
_PROBLEMS = {
    400: "The request is not valid; `details` says where.",
    401: "Not signed in, or the token is over.",
    403: "Signed in, and not allowed.",
    404: "There is no such thing, or it is not the caller's to know.",
    409: "The same id is on record with other content.",
    405: "Only POST is understood.",
    413: "The body is too large.",
    415: "Only `application/json` is understood.",
    429: "A rate limit or a budget is spent; ask again after `Retry-After` seconds.",
    500: "Something went wrong on the server's side; it is logged under the reply's request id.",
    503: "Not available at the moment; ask again after `Retry-After` seconds.",
    504: "It took too long; whether it was done is not known.",
}
_TOO_MANY_REQUESTS = 429
_HEADERS = {
    "X-RateLimit-Limit": "Points in any window of the limit that is nearest to its end.",
    "X-RateLimit-Remaining": "Points of it that are left.",
    "X-RateLimit-Reset": "Seconds until all of them are free again, if nothing else is taken.",
    "Retry-After": "Seconds after which the same call may succeed.",
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "An error, after RFC 9457.",
    "required": ["type", "title", "status", "detail", "requestId"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:lectern:problem:not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object"}},
        "requestId": {"type": "string"},
    },
}


def calls(functions: Sequence[Deployment]) -> list[tuple[Deployment, ClientCall]]:
    """The functions that clients call, with their models."""
    return [(each, each.trigger) for each in functions if isinstance(each.trigger, ClientCall)]


def _modes(call: ClientCall) -> list[tuple[type[BaseModel], Literal["validation", "serialization"]]]:
    sent: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = (
        [] if call.sends is None else [(call.sends, "serialization")]
    )
    return [(call.request, "validation"), (call.reply, "serialization"), *sent]


def schemas(functions: Sequence[Deployment]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """References to the models of *functions* by (model, mode), and all definitions."""
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (model, mode) for _, call in calls(functions) for model, mode in _modes(call)
    ]
    references, definitions = models_json_schema(
        models,
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    return references, definitions["$defs"]


def document(functions: Sequence[Deployment]) -> dict[str, Any]:
    """The OpenAPI document of *functions*."""
    references, definitions = schemas(functions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lectern",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "The functions that clients call, as plain REST. The Firebase SDK's callable form is the "
                'same with `{"data": …}` around the request and `{"result": …}` around the reply.'
            ),
        },
        "servers": [
            {
                "url": "/demo-lectern/us-central1",
                "description": "Where this document is served by `make run`",
            },
            {
                "url": "https://{region}-{project}.cloudfunctions.net",
                "description": "Cloud Run functions",
                "variables": {"region": {"default": "us-central1"}, "project": {"default": "my-project"}},
            },
        ],
        "security": [{"idToken": []}],
        "paths": {
            **{
                f"/{each.name}": {"post": _operation(each, call, references)}
                for each, call in calls(functions)
            },
            **_passed(functions),
        },
        "components": {
            "schemas": {**definitions, "Problem": _PROBLEM_SCHEMA, **_openai_schemas(functions)},
            "headers": {
                name: {"description": text, "schema": {"type": "integer", "minimum": 0}}
                for name, text in _HEADERS.items()
            },
            "securitySchemes": {
                "idToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A Firebase Auth ID token.",
                }
            },
        },
    }


def render(functions: Sequence[Deployment]) -> str:
    """The text of ``docs/openapi.json``."""
    return json.dumps(document(functions), indent=2, ensure_ascii=False) + "\n"


def _operation(function: Deployment, call: ClientCall, references: dict[Any, Any]) -> dict[str, Any]:
    return {
        "operationId": function.name,
        "summary": function.summary,
        "tags": [function.module.rpartition(".")[2]],
        "security": [] if function.role is Role.ANYONE else [{"idToken": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": references[call.request, "validation"]}},
        },
        "responses": {
            str(call.status): {
                "description": "Done.",
                "headers": _rate_headers(function),
                "content": {
                    "application/json": {"schema": references[call.reply, "serialization"]},
                    **_events(call, references),
                },
            },
            **{str(status): _problem(text, status, function) for status, text in _PROBLEMS.items()},
        },
    }


def _events(call: ClientCall, references: dict[Any, Any]) -> dict[str, Any]:
    """What is sent to those who accept events: each is the JSON behind ``data: ``."""
    if call.sends is None:
        return {}
    error = {"type": "object", "required": ["status", "message"]}
    events = [
        {"type": "object", "required": [name], "properties": {name: schema}}
        for name, schema in (
            ("message", references[call.sends, "serialization"]),
            ("result", references[call.reply, "serialization"]),
            ("error", error),
        )
    ]
    return {
        "text/event-stream": {
            "schema": {
                "description": "Events; any number of messages, last a result or an error. Always with 200.",
                "oneOf": events,
            }
        }
    }


def _passed(functions: Sequence[Deployment]) -> dict[str, Any]:
    """The paths beneath pass-through functions; the shapes are OpenAI's."""
    return {
        f"/{each.name}{passed.path}": {
            passed.method.lower(): _passed_operation(each, passed, each.trigger.headers)
        }
        for each in functions
        if isinstance(each.trigger, PassThrough)
        for passed in each.trigger.paths
    }


def _passed_operation(
    function: Deployment, passed: Passed, headers: Sequence[PassedHeader]
) -> dict[str, Any]:
    anything: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    operation: dict[str, Any] = {
        "operationId": function.name + passed.path.replace("/", "_"),
        "summary": passed.summary,
        "tags": [function.module.rpartition(".")[2]],
        "security": [{"idToken": []}],
        "externalDocs": {"url": "https://platform.openai.com/docs/api-reference"},
        "responses": {
            "200": {
                "description": "As OpenAI answers; with `stream`, as server-sent events.",
                "content": anything,
            },
            **{
                str(status): {
                    "description": text,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}},
                    },
                }
                for status, text in _PROBLEMS.items()
            },
        },
    }
    if passed.method == "POST":
        operation["requestBody"] = {"required": True, "content": anything}
        operation["parameters"] = [
            {
                "name": each.name,
                "in": "header",
                "description": each.summary,
                "schema": TypeAdapter(each.value_type).json_schema(),
            }
            for each in headers
        ]
    return operation


def _openai_schemas(functions: Sequence[Deployment]) -> dict[str, Any]:
    if not any(isinstance(each.trigger, PassThrough) for each in functions):
        return {}
    text = {"type": ["string", "null"]}
    inner = {"message": {"type": "string"}, "type": {"type": "string"}, "param": text, "code": text}
    return {
        "OpenAIError": {
            "type": "object",
            "description": "An error as OpenAI's client libraries read it.",
            "required": ["error"],
            "properties": {
                "error": {"type": "object", "properties": inner},
                "requestId": {"type": "string"},
            },
        }
    }


def _problem(description: str, status: int, function: Deployment) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == _TOO_MANY_REQUESTS:
        problem["headers"] = {
            "Retry-After": {"$ref": "#/components/headers/Retry-After"},
            **_rate_headers(function),
        }
    return problem


def _rate_headers(function: Deployment) -> dict[str, Any]:
    if function.role is Role.ANYONE:
        return {}
    return {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS if name.startswith("X-")}

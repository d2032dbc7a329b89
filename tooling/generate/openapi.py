"""``docs/openapi.json``: the functions that clients call, as plain REST."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.edge.registry import ClientCall, Deployment, Role

VERSION = "0.1.0"
_PROBLEMS = {
    400: "The request is not valid; `details` says where.",
    401: "Not signed in, or the token is over.",
    403: "Signed in, and not allowed.",
    404: "There is no such thing, or it is not the caller's to know.",
    409: "The same id is on record with other content.",
    413: "The body is too large.",
    503: "Not available at the moment; ask again after `Retry-After` seconds.",
    504: "It took too long; whether it was done is not known.",
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
    return [(call.request, "validation"), (call.reply, "serialization")]


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
            f"/{each.name}": {"post": _operation(each, call, references)} for each, call in calls(functions)
        },
        "components": {
            "schemas": {**definitions, "Problem": _PROBLEM_SCHEMA},
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
                "content": {"application/json": {"schema": references[call.reply, "serialization"]}},
            },
            **{str(status): _problem(text) for status, text in _PROBLEMS.items()},
        },
    }


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }

"""One emulator project under ``firestore.rules``, spoken to over REST as any principal."""

import base64
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

RULES = Path(__file__).parents[2] / "firestore.rules"

SERVER_TIME = object()
"""Stands for ``serverTimestamp()`` among a document's fields."""


@dataclass(frozen=True)
class Principal:
    """Somebody who asks, or nobody: without a *uid* there is no token."""

    name: str
    uid: str | None = None
    provider: str | None = "password"
    claims: Mapping[str, Any] = field(default_factory=dict)

    def headers(self, project: str) -> dict[str, str]:
        """What the browser SDK sends for this principal; the emulator takes unsigned tokens."""
        if self.uid is None:
            return {}
        payload = {
            "iss": f"https://securetoken.google.com/{project}",
            "aud": project,
            "sub": self.uid,
            "user_id": self.uid,
            "iat": 0,
            "exp": 4_000_000_000,
            **self.claims,
        }
        if self.provider is not None:
            payload["firebase"] = {"sign_in_provider": self.provider, "identities": {}}
        return {"Authorization": f"Bearer {_segment({'alg': 'none', 'typ': 'JWT'})}.{_segment(payload)}."}


def _segment(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class RulesProject:
    """A fresh project; ``owner`` methods go past the rules, the others answer with the HTTP status."""

    def __init__(self, host: str, rules: str | None = None) -> None:
        self.project = f"demo-rules-{uuid.uuid4().hex[:12]}"
        self._http = httpx.Client(base_url=f"http://{host}", timeout=30)
        self._root = f"projects/{self.project}/databases/(default)/documents"
        source = RULES.read_text() if rules is None else rules
        reply = self._http.put(
            f"/emulator/v1/projects/{self.project}:securityRules",
            json={"rules": {"files": [{"name": "firestore.rules", "content": source}]}},
        )
        assert reply.status_code == 200, reply.text

    def close(self) -> None:
        """Drop the project's documents and the connection."""
        self._http.delete(f"/emulator/v1/{self._root}", headers={"Authorization": "Bearer owner"})
        self._http.close()

    def owner_sets(self, path: str, **fields: Any) -> None:
        """Write a document as the server does, past the rules."""
        reply = self._http.patch(
            f"/v1/{self._root}/{path}",
            json={"fields": {name: _value(each) for name, each in fields.items()}},
            headers={"Authorization": "Bearer owner"},
        )
        assert reply.status_code == 200, reply.text

    def owner_reads(self, path: str) -> dict[str, Any] | None:
        """The stored fields as REST spells them; None where there is no document."""
        reply = self._http.get(f"/v1/{self._root}/{path}", headers={"Authorization": "Bearer owner"})
        return reply.json()["fields"] if reply.status_code == 200 else None

    def get(self, who: Principal, path: str) -> int:
        """Read one document."""
        return self._http.get(f"/v1/{self._root}/{path}", headers=who.headers(self.project)).status_code

    def query(
        self,
        who: Principal,
        collection: str,
        *,
        where: tuple[str, str] | None = None,
        limit: int | None = 10,
        everywhere: bool = False,
    ) -> int:
        """Run one query; *everywhere* asks for the collection group."""
        parent, _, collection_id = collection.rpartition("/")
        query: dict[str, Any] = {"from": [{"collectionId": collection_id, "allDescendants": everywhere}]}
        if where is not None:
            query["where"] = {
                "fieldFilter": {"field": {"fieldPath": where[0]}, "op": "EQUAL", "value": _value(where[1])}
            }
        if limit is not None:
            query["limit"] = limit
        return self._http.post(
            f"/v1/{self._root}{'/' + parent if parent else ''}:runQuery",
            json={"structuredQuery": query},
            headers=who.headers(self.project),
        ).status_code

    def create(self, who: Principal, path: str, fields: Mapping[str, Any]) -> int:
        """Write a document as the SDK's ``setDoc`` does: no precondition, server times as transforms."""
        stored = {name: _value(each) for name, each in fields.items() if each is not SERVER_TIME}
        write: dict[str, Any] = {"update": {"name": f"{self._root}/{path}", "fields": stored}}
        write["updateTransforms"] = [
            {"fieldPath": name, "setToServerValue": "REQUEST_TIME"}
            for name, each in fields.items()
            if each is SERVER_TIME
        ]
        return self._commit(who, write)

    def update(self, who: Principal, path: str, fields: Mapping[str, Any]) -> int:
        """Change some fields of a document that exists."""
        return self._commit(
            who,
            {
                "update": {
                    "name": f"{self._root}/{path}",
                    "fields": {name: _value(each) for name, each in fields.items()},
                },
                "updateMask": {"fieldPaths": list(fields)},
                "currentDocument": {"exists": True},
            },
        )

    def delete(self, who: Principal, path: str) -> int:
        """Delete a document."""
        return self._commit(who, {"delete": f"{self._root}/{path}"})

    def coverage(self) -> dict[str, Any]:
        """The emulator's report of every expression and the values it has had."""
        return self._http.get(f"/emulator/v1/projects/{self.project}:ruleCoverage").json()

    def _commit(self, who: Principal, write: Mapping[str, Any]) -> int:
        return self._http.post(
            f"/v1/{self._root}:commit", json={"writes": [write]}, headers=who.headers(self.project)
        ).status_code


def _value(value: Any) -> dict[str, Any]:
    """*value* as Firestore's REST API spells it."""
    match value:
        case None:
            return {"nullValue": None}
        case bool():
            return {"booleanValue": value}
        case int():
            return {"integerValue": str(value)}
        case float():
            finite = math.isfinite(value)
            return {
                "doubleValue": value
                if finite
                else {"nan": "NaN", "inf": "Infinity"}.get(str(value), "-Infinity")
            }
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case dict():
            return {"mapValue": {"fields": {name: _value(each) for name, each in value.items()}}}
        case datetime():
            return {"timestampValue": value.isoformat()}
    message = f"no Firestore value for {type(value)}"
    raise TypeError(message)

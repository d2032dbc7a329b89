"""Reads JSON and keeps the place of every value and of every key."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.learning.importing.drafts import number
from shared.learning.importing.findings import UNREADABLE, Findings, Lines, Place

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,:"\[\]{}]+|[{}\[\]]')
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class Node:
    """A value, the nodes of what it contains, and where its keys stand."""

    offset: int
    value: Any
    members: dict[str | int, "Node"] = field(default_factory=dict)
    key_offsets: dict[str, int] = field(default_factory=dict)

    def at(self, path: Sequence[str | int]) -> "Node":
        """Return the node at *path*, passing over the steps that lead nowhere."""
        node = self
        for step in path:
            node = node.members.get(step, node)
        return node


def read(source: str, lines: Lines, findings: Findings) -> Node:
    """
    Return the value of *source*, with numbers as ``Decimal``.

    Raises:
        InvalidRequest: *source* is not JSON, is nested too deeply, repeats a key, or has a number
            that is out of all proportion.
    """
    try:
        json.loads(source, parse_int=str, parse_float=str)  # only to learn whether it is JSON
    except json.JSONDecodeError as error:
        findings.fatal(Place(error.lineno, error.colno), f"this is not JSON: {error.msg}")
    except RecursionError:
        findings.fatal(Place(1, 1), "the values are nested too deeply")
    root = _built(source, lines, findings)
    findings.conclude()
    return root


def _built(source: str, lines: Lines, findings: Findings) -> Node:
    """Build the nodes of *source*, which is known to be JSON, without recursion."""
    root = Node(0, None)
    open_nodes: list[Node] = []
    keys: list[str | None] = []
    for token in _TOKEN.finditer(source):
        text, offset = token[0], token.start()
        if text in {"}", "]"}:
            open_nodes.pop()
            keys.pop()
            continue
        value = _value(text, lines.place(offset), findings)
        parent = open_nodes[-1] if open_nodes else None
        if parent and isinstance(parent.value, dict) and keys[-1] is None:
            if value in parent.key_offsets:
                findings.problem(lines.place(offset), f"the key {text[:40]} is there twice")
            parent.key_offsets[value] = offset
            keys[-1] = value
            continue
        node = Node(offset, value)
        if parent is None:
            root = node
        elif isinstance(parent.value, list):
            parent.members[len(parent.value)] = node
            parent.value.append(value)
        else:
            key = keys[-1] or ""
            parent.members[key] = node
            parent.value[key] = value
            keys[-1] = None
        if isinstance(value, (dict, list)):
            open_nodes.append(node)
            keys.append(None)
    return root


def _value(token: str, place: Place, findings: Findings) -> Any:
    if token in _WORDS:
        return _WORDS[token]
    match token[0]:
        case "{":
            return {}
        case "[":
            return []
        case '"':
            text = json.loads(token)
            unreadable = UNREADABLE.search(text)
            if unreadable:
                findings.problem(place, f"U+{ord(unreadable[0]):04X} cannot be part of a question")
            return text
        case _:
            value = number(token)
            if value is None:
                findings.problem(place, f"{token[:40]} is not a number that can be used here")
            return value

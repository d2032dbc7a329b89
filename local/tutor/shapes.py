"""Values that satisfy a JSON schema, the same ones for the same seed."""

import random
import re
from collections.abc import Mapping
from typing import Any

_DEPTH = 12
_DATES = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "canned@example.com",
    "uri": "https://example.com/canned",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_CLASSES = {r"\d": "0", r"\w": "a", r"\s": " ", ".": "a"}
_ATOM = re.compile(r"(\[[^\]]*\]|\\.|.)(\{\d+(?:,\d*)?\}|[*+?])?", re.DOTALL)


def value_of(schema: Mapping[str, Any], seed: str, *, text: str, quotable: str = "") -> Any:
    """
    A value that *schema* allows; its texts are *text*, those of fields named for quotes from *quotable*.

    Of JSON Schema it knows what strict structured outputs may use.
    """
    maker = _Maker(schema, random.Random(seed), text, quotable)  # noqa: S311  meant to be repeatable
    return maker.value(schema, "", 0)


class _Maker:
    def __init__(self, root: Mapping[str, Any], chance: random.Random, text: str, quotable: str) -> None:
        self._definitions = {**root.get("definitions", {}), **root.get("$defs", {})}
        self._root = root
        self._chance = chance
        self._text = text
        self._quotable = quotable

    def value(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:  # noqa: C901, PLR0912  one case per keyword
        if "$ref" in schema:
            return self.value(self._referred(schema["$ref"]), name, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self.value(self._simplest(schema[several], depth), name, depth + 1)
        if "allOf" in schema:
            merged: dict[str, Any] = {}
            for each in schema["allOf"]:
                merged |= self._referred(each["$ref"]) if "$ref" in each else each
            return self.value(merged, name, depth + 1)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        match kind:
            case "object":
                return {
                    each: self.value(inner, each, depth + 1)
                    for each, inner in schema.get("properties", {}).items()
                    if each in schema.get("required", ()) or depth < _DEPTH
                }
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return int(self._number(schema, whole=True))
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return self._chance.random() < 0.5  # noqa: PLR2004  one is as likely as the other
            case "null":
                return None
        return self._string(schema, name)

    def _referred(self, reference: str) -> Mapping[str, Any]:
        if reference == "#":
            return self._root
        found: Mapping[str, Any] = self._definitions[reference.rpartition("/")[2]]
        return found

    def _simplest(self, choices: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
        flat = [each for each in choices if each.get("type") == "null"]
        if depth > _DEPTH and flat:
            return flat[0]
        return next(each for each in choices if each.get("type") != "null")

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        wanted = max(least, 0 if depth > _DEPTH else 2)
        length = min(schema.get("maxItems", wanted), wanted)
        return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(length)]

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float:
        step = schema.get("multipleOf", 1 if whole else 0.01)
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is None:
            low = 0 if high is None or high >= 0 else high - 10 * step
        if high is None:
            high = low + 10 * step
        if "exclusiveMinimum" in schema:
            low += step
        if "exclusiveMaximum" in schema:
            high -= step
        first = -(-low // step)
        steps = max(0, int((high - first * step) / step + 1e-9))
        made: float = round((first + self._chance.randint(0, steps)) * step, 6)
        return made

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        if schema.get("format") in _DATES:
            return _DATES[schema["format"]]
        if "pattern" in schema:
            return _matching(schema["pattern"])
        text = self._text
        if self._quotable and ("quote" in name.lower() or "evidence" in name.lower()):
            text = self._quotable
        most = schema.get("maxLength", 400)
        return text[:most].ljust(schema.get("minLength", 0), ".")


def _matching(pattern: str) -> str:
    """A text that a simple *pattern* (classes, literals and repetitions) matches."""
    made = []
    for atom, repeated in _ATOM.findall(pattern.removeprefix("^").removesuffix("$")):
        if atom.startswith("["):
            first = atom[1:-1]
            character = _CLASSES.get(first[:2]) or ("a" if first.startswith("^") else first[0])
        else:
            character = _CLASSES.get(atom, atom.removeprefix("\\"))
        times = 1 if repeated in {"", "+"} else 0
        if repeated.startswith("{"):
            times = int(repeated[1:-1].partition(",")[0])
        made.append(character * times)
    return "".join(made)

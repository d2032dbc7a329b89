"""Hypothesis strategies from the JSON schemas of our own models: the keywords that pydantic writes for them."""

from typing import Any

from hypothesis import strategies as st


def values_of(schema: dict[str, Any], definitions: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:  # noqa: C901  one case per kind of schema
    """Values that *schema* allows."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        return values_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return st.one_of([values_of(each, definitions) for each in schema[several]])
    match schema.get("type"):
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return st.floats(
                schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False
            )
        case "string":
            return _texts(schema)
        case "array":
            items = values_of(schema.get("items", {}), definitions)
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=4)
        case "object":
            return _objects(schema, definitions)
    return st.none() | st.booleans() | st.integers() | st.text()


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.timezones()).map(lambda each: each.isoformat())
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].rstrip("$") + r"\Z")
    return st.text(min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 40), 40))


def _objects(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if "properties" not in schema:
        for pattern, each in schema.get("patternProperties", {}).items():
            return st.dictionaries(_texts({"pattern": pattern}), values_of(each, definitions), max_size=4)
        return st.dictionaries(st.text(max_size=8), st.integers(), max_size=4)
    parts = {name: values_of(each, definitions) for name, each in schema["properties"].items()}
    required = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: each for name, each in parts.items() if name in required},
        optional={name: each for name, each in parts.items() if name not in required},
    )

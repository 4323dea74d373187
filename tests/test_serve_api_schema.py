"""JSON Schemas: what is taken is followed, what is hostile is refused before an engine sees it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.protocol import ApiError
from serve.schema import MAX_ALIKE, MAX_NODES, guard
from tests.serve_api_helpers import HELLO, in_process, tiny_catalog


def nested(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubling(levels: int) -> Any:
    """2^levels readings of `[[[[…`."""
    definitions: Any = {"d0": {"type": "string"}}
    for level in range(levels):
        ref = {"$ref": f"#/$defs/d{level}"}
        definitions[f"d{level + 1}"] = {
            "anyOf": [{"type": "array", "prefixItems": [ref]}, {"type": "array", "prefixItems": [ref, ref]}]
        }
    return {"$ref": f"#/$defs/d{levels}", "$defs": definitions}


REFUSED: dict[str, tuple[Any, str]] = {
    "remote": ({"$ref": "https://evil.example/schema.json"}, "expected '#'"),
    "file": ({"$ref": "file:///etc/passwd"}, "expected '#'"),
    "nowhere": ({"$ref": "#/$defs/x"}, "expected '#'"),
    "pointer": ({"properties": {"a": {"type": "string"}}, "items": {"$ref": "#/properties/a"}}, "expected a type"),
    "inside": ({"properties": {"a": {"$ref": "#/properties/a"}}}, "expected '#'"),
    "itself": ({"$ref": "#"}, "leads to itself"),
    "loop": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "itself"),
    "left recursion": ({"anyOf": [{"type": "string"}, {"$ref": "#"}]}, "leads to itself"),
    "deep": (nested(30), "nested deeper"),
    "very deep": (nested(150), "nested deeper"),
    "wide": ({"properties": {f"p{i}": {} for i in range(MAX_NODES + 1)}, "required": [f"p{i}" for i in range(301)]}, "larger"),
    "optional": ({"properties": {f"p{i}": {} for i in range(65)}}, "not required"),
    "many values": ({"enum": list(range(MAX_NODES + 1))}, "larger"),
    "long": ({"enum": ["x" * 40_000]}, "longer than"),
    "doubling": (doubling(12), "followed, larger"),
    "two that begin alike, recursive": (
        {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"type": "array", "prefixItems": [{"$ref": "#"}]}, {"type": "null"}]},
        "different types",
    ),
    "any and an object, recursive": (
        {"properties": {"a": {"anyOf": [{}, {"$ref": "#"}]}}}, "different types",
    ),
    "values that begin alike": ({"enum": [f"user-{i:03}" for i in range(65)]}, "65 alternatives begin alike"),
    "enums that begin alike": ({"anyOf": [{"enum": [f"user-{i}{j:03}" for i in range(40)]} for j in range(2)]}, "80 alternatives"),
    "objects that begin alike": ({"anyOf": [{"properties": {"a": {"enum": [i]}}} for i in range(65)]}, "65 alternatives"),
    "pattern": ({"type": "string", "pattern": "^(a+)+$"}, "'pattern' is not supported"),
    "not": ({"not": {}}, "'not' is not supported"),
    "oneOf": ({"oneOf": [{}]}, "'oneOf' is not supported"),
    "minimum of a number": ({"type": "number", "minimum": 0}, "'minimum' is not supported for number"),
    "repeats": ({"type": "string", "maxLength": 10**9}, "whole number up to"),
    "negative": ({"type": "array", "minItems": -1}, "whole number up to"),
    "true": ({"type": "array", "minItems": True}, "whole number up to"),
    "empty range": ({"type": "integer", "minimum": 3, "maximum": 2}, "no whole number"),
    "empty fraction": ({"type": "integer", "minimum": 0.1, "maximum": 0.9}, "no whole number"),
    "huge bound": ({"type": "integer", "minimum": 10**30}, "2^53"),
    "huge value": ({"enum": [10**4000]}, "out of range"),
    "length order": ({"type": "string", "minLength": 3, "maxLength": 2}, "larger than"),
    "unknown type": ({"type": "text"}, "type must be among"),
    "no type": ({"type": []}, "type must be among"),
    "type of types": ({"type": [["string"]]}, "type must be among"),
    "required unknown": ({"properties": {}, "required": ["a"]}, "not in properties"),
    "required number": ({"required": [1]}, "not in properties"),
    "star": ({"properties": {"*": {}}}, "'*'"),
    "format": ({"type": "string", "format": "email"}, "format"),
    "any of nothing": ({"anyOf": []}, "list of schemas"),
    "siblings": ({"anyOf": [{}], "properties": {}}, "beside anyOf"),
    "false": ({"items": False}, "must be an object"),
    "number": ({"items": 3}, "must be an object"),
    "definitions": ({"$defs": []}, "$defs must be an object"),
    "nothing of the type": ({"type": "string", "enum": [1]}, "of the type"),
    "anchors": ({"$anchor": "x"}, "'$anchor'"),
    "id": ({"$id": "https://evil.example"}, "'$id'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    schema, words = REFUSED[name]
    with pytest.raises(ApiError) as caught:
        guard(schema)
    assert words in caught.value.message and caught.value.status == 400
    assert len(caught.value.message) < 600


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "items", "anyOf", "allOf", "enum", "const", "$ref", "$defs", "required", "minItems", "maxLength", "format",
             "minimum", "exclusiveMaximum", "additionalProperties", "prefixItems", "title"]
        ) | st.text(max_size=3),
        inner | st.sampled_from(["object", "array", "string", "integer", "#", "#/$defs/a", "date"]),
        max_size=5,
    ),
    max_leaves=40,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    schema=st.dictionaries(
        st.sampled_from(["type", "properties", "anyOf", "$defs", "items", "enum", "$ref"]), JSON_VALUES
    )
)
def test_any_json_is_read_or_refused(schema: dict[str, Any]) -> None:
    try:
        made = guard(schema)
    except ApiError as error:
        assert error.status == 400
    else:
        assert made["$ref"] == "#/$defs/d0" and guard(made)  # what was made is itself taken


def _objects(inner: Any) -> Any:
    names = st.sampled_from(["a", "b b", 'q"', "\\", "]", "é", "a\n", "", "-", "x" * 40])

    def build(properties: dict[str, Any], some: bool) -> Any:
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(properties) if some else [],
            "additionalProperties": False,
        }

    return st.builds(build, st.dictionaries(names, inner, max_size=3), st.booleans())


VALUES = st.sampled_from(
    [None, True, 0, -7, 1.5, "", 'a"b', "a\\b", "é\n", "\u2028", [1, "x"], {"k": None}, "]", "a" * 30]
)
TAKEN = st.recursive(
    st.sampled_from(
        [{"type": "null"}, {"type": "boolean"}, {"type": "number"}, {"type": "integer", "minimum": -5, "exclusiveMaximum": 130},
         {"type": "string", "minLength": 1, "maxLength": 4}, {"type": "string", "format": "date"}, {"type": "string", "format": "uuid"},
         {"type": ["integer", "null"]}, {"type": "integer", "maximum": -3}, {"type": "integer", "minimum": 99998.5}]
    ) | st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=4)),
    lambda inner: _objects(inner)
    | st.builds(lambda items, n: {"type": "array", "items": items, "minItems": n, "maxItems": n + 2}, inner, st.integers(0, 2))
    | st.builds(lambda items: {"type": "array", "prefixItems": items, "items": False}, st.lists(inner, min_size=1, max_size=3))
    | st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=3))
    | st.builds(lambda value: {"type": "object", "additionalProperties": value}, inner),
    max_leaves=6,
)  # fmt: skip


def examples(strategy: Any, count: int) -> list[Any]:
    """The same schemas on each run."""
    found: list[Any] = []

    @settings(max_examples=count, derandomize=True, database=None, deadline=None)
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def _follows(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    async def work() -> int:
        whole = 0
        async with in_process(tiny_catalog(tmp_path_factory)) as inside:
            for number, schema in enumerate(examples(TAKEN, count)):
                wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
                answer = await inside.post(
                    {"model": "one", "messages": HELLO, "max_tokens": 80, "temperature": 1.3, "seed": number, "response_format": wanted}
                )  # fmt: skip
                assert answer.status == 200, (schema, answer.body)
                choice = json.loads(answer.body)["choices"][0]
                if choice["finish_reason"] == "stop":
                    jsonschema.validate(json.loads(choice["message"]["content"]), schema)
                    whole += 1
        return whole

    assert asyncio.run(work()) > count * 0.5


def test_answers_follow_their_schema(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Random weights, random schemas: nothing but the grammar makes these answers JSON of the schema."""
    _follows(tmp_path_factory, 12)


@pytest.mark.slow
def test_answers_follow_many_schemas(tmp_path_factory: pytest.TempPathFactory) -> None:
    _follows(tmp_path_factory, 150)


TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "left": {"$ref": "#"}, "right": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "required": ["value"],
}  # fmt: skip
HEAVY: dict[str, Any] = {
    "values that begin alike": {"enum": ["a" * 300 + f"{i:03}" for i in range(MAX_ALIKE)]},
    "objects that begin alike": {"anyOf": [{"type": "object", "properties": {"a" * 300 + str(i): {}}} for i in range(MAX_ALIKE)]},
    "optional properties": {"properties": {f"p{i}": {"type": "string"} for i in range(64)}},
    "required properties": {"properties": {f"p{i}": {"type": "null"} for i in range(280)}, "required": [f"p{i}" for i in range(280)]},
    "doubling": doubling(3),
    "long": {"type": "array", "items": {"type": "string", "minLength": 400, "maxLength": 500}, "minItems": 400},
    "tree": TREE,
    "deep": nested(20),
}  # fmt: skip


def test_the_heaviest_schemas_do_not_hold_up_the_engine(tmp_path_factory: pytest.TempPathFactory) -> None:
    async def work() -> None:
        async with in_process(tiny_catalog(tmp_path_factory)) as inside:
            pid = inside.supervisor.engine.pid  # type: ignore[attr-defined]
            for name, schema in HEAVY.items():
                wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
                began = time.monotonic()
                answer = await inside.post(
                    {"model": "one", "messages": HELLO, "max_tokens": 10, "seed": 1, "temperature": 1.0, "response_format": wanted}
                )  # fmt: skip
                print(f"{name}: {answer.status} {time.monotonic() - began:.2f} s")
                assert answer.status == 200, (name, answer.body)
            plain = await inside.post({"model": "one", "messages": HELLO, "max_tokens": 4})
            assert plain.status == 200
            assert inside.supervisor.engine.pid == pid  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(work(), 120))

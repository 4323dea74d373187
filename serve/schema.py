"""JSON Schemas of strangers: what of one an engine is given.

An engine turns a schema into a grammar and checks each token against every way in which the text so far can be read.
Both can be made to take for ever: by size, by depth, by `$ref`s that double, by alternatives that begin alike inside a
recursion. And an engine passes over what it does not know, so that the answer breaks the schema. Hence `guard`: a new
schema of known keywords, in the forms that llama.cpp's converter (common/json-schema.cpp) reads as JSON Schema means
them, of bounded size; everything else is refused by name.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from serve.protocol import ApiError

MAX_NODES = 300
"""Schemas within schemas, every `$ref` counted as often as it is used, and values of `enum`."""
MAX_DEPTH = 24
MAX_ALIKE = 64
"""Alternatives at one place that begin alike: the engine follows each of them, for every token of its vocabulary."""
MAX_BYTES = 1 << 15
"""Of names and values."""
MAX_REPEATS = 500
"""Of minLength, maxLength, minItems, maxItems: above about 2000 llama.cpp refuses the grammar."""
MAX_OPTIONAL = 64
MAX_INTEGER = 2**53
FORMATS = ("date", "time", "date-time", "uuid")
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_ANNOTATIONS = {
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$comment",
}
_DEFINITIONS = ("$defs", "definitions")
_OF_TYPE: dict[str, set[str]] = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "format"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
}
_BOUNDED = {key for keys in _OF_TYPE.values() for key in keys}
Node = dict[str, Any]


def guard(schema: Mapping[str, Any], param: str = "schema") -> Node:
    """The schema for an engine. Raises ApiError 400 for one that is unsupported, contradictory or too large."""
    made = _Reader(param).document(schema)
    _Unfolding(made, param).check()
    return made


def _error(param: str, path: str, message: str) -> ApiError:
    return ApiError(400, f"{param}: at {path[:200]}: {message}", param=param, code="invalid_json_schema")


@dataclass
class _Reader:
    """Reads a schema into a new one of known keywords. Its definitions are renamed, for names become grammar rules."""

    param: str
    names: dict[str, str] = field(default_factory=dict)
    """`$ref` as written → name of the definition."""
    nodes: int = 0
    bytes: int = 0

    def document(self, schema: Mapping[str, Any]) -> Node:
        root = dict(schema)
        definitions: dict[str, Any] = {"#": {key: value for key, value in root.items() if key not in _DEFINITIONS}}
        for key in _DEFINITIONS:
            found = root.pop(key, {})
            if not isinstance(found, dict):
                self.fail("#", f"{key} must be an object")
            definitions |= {f"#/{key}/{_escaped(name)}": value for name, value in found.items()}
        self.names = {ref: f"d{number}" for number, ref in enumerate(definitions)}
        read = {self.names[ref]: self.node(value, ref, 0) for ref, value in definitions.items()}
        return {"$ref": "#/$defs/d0", "$defs": read}

    def fail(self, path: str, message: str) -> NoReturn:
        raise _error(self.param, path, message)

    def node(self, schema: Any, path: str, depth: int) -> Node:
        self.nodes += 1
        if depth > MAX_DEPTH:
            self.fail(path, f"nested deeper than {MAX_DEPTH}")
        if self.nodes > MAX_NODES:
            self.fail(path, f"larger than {MAX_NODES} schemas and values")
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            self.fail(path, "a schema must be an object")
        said = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        for key, read in (("$ref", self.reference), ("anyOf", self.any_of), ("allOf", self.all_of)):
            if key in said:
                self.alone(said, key, path)
                return read(said[key], f"{path}/{key}", depth)
        if "enum" in said or "const" in said:
            return self.values(said, path)
        return self.typed(said, path, depth)

    def alone(self, said: Node, key: str, path: str) -> None:
        others = sorted(said.keys() - {key})
        if others:
            self.fail(path, f"'{others[0][:100]}' beside {key} is not supported")

    def reference(self, ref: Any, path: str, depth: int) -> Node:
        if not isinstance(ref, str) or ref not in self.names:
            known = "'#', '#/$defs/NAME' or '#/definitions/NAME' of this schema"
            self.fail(path, f"expected {known}, found {json.dumps(ref)[:100]}")
        return {"$ref": f"#/$defs/{self.names[ref]}"}

    def any_of(self, alternatives: Any, path: str, depth: int) -> Node:
        if not isinstance(alternatives, list) or not alternatives:
            self.fail(path, "expected a list of schemas")
        return {"anyOf": [self.node(each, f"{path}/{number}", depth + 1) for number, each in enumerate(alternatives)]}

    def all_of(self, parts: Any, path: str, depth: int) -> Node:
        if not isinstance(parts, list) or len(parts) != 1:
            self.fail(path, "supported with one schema only")
        return self.node(parts[0], f"{path}/0", depth + 1)

    def values(self, said: Node, path: str) -> Node:
        """`enum` and `const`, with at most a `type` beside them, which picks among the values."""
        others = sorted(said.keys() - {"enum", "const", "type"})
        if others or {"enum", "const"} <= said.keys():
            self.fail(path, f"'{(others or ['const'])[0][:100]}' beside enum or const is not supported")
        values = said["enum"] if "enum" in said else [said["const"]]
        if not isinstance(values, list) or not values:
            self.fail(path, "enum must be a list of values")
        types = self.types(said, path)
        values = [value for value in values if any(_is(value, type_) for type_ in types)]
        if not values:
            self.fail(path, "no value of enum or const is of the type")
        for value in values:
            self.nodes += 1
            if not _finite(value):  # before it is written: Python refuses to write thousands of digits
                self.fail(path, "a number of enum or const is out of range")
            self.measure(json.dumps(value), path)
        return {"enum": values}

    def types(self, said: Node, path: str) -> list[str]:
        given = said.get("type", list(TYPES))
        types = [given] if isinstance(given, str) else given
        if (
            not isinstance(types, list)
            or not types
            or not all(isinstance(each, str) and each in TYPES for each in types)
        ):
            self.fail(path, f"type must be among {', '.join(TYPES)}")
        return list(dict.fromkeys(types))

    def typed(self, said: Node, path: str, depth: int) -> Node:
        unknown = sorted(said.keys() - _BOUNDED - {"type"} - (set(_DEFINITIONS) if path == "#" else set()))
        if unknown:
            self.fail(path, f"'{unknown[0][:100]}' is not supported")
        if "type" not in said:
            told = [type_ for type_, keys in _OF_TYPE.items() if keys & said.keys()]
            if not told:
                return {}
            if len(told) > 1:
                self.fail(path, f"expected a type: it has keywords of {' and '.join(told)}")
            said = {"type": told[0], **said}
        types = self.types(said, path)
        stray = sorted(said.keys() - {"type"} - {key for type_ in types for key in _OF_TYPE.get(type_, ())})
        if stray:  # such as `minimum` of a number: it would be passed over
            self.fail(path, f"'{stray[0]}' is not supported for {' or '.join(types)}")
        read: dict[str, Callable[[Node, str, int], Node]] = {
            "object": self.object, "array": self.array, "string": self.string, "integer": self.integer,
        }  # fmt: skip
        made = [read[type_](said, path, depth) if type_ in read else {"type": type_} for type_ in types]
        return made[0] if len(made) == 1 else {"anyOf": made}

    def object(self, said: Node, path: str, depth: int) -> Node:
        properties, required = said.get("properties", {}), said.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            self.fail(path, "properties must be an object and required a list")
        made: Node = {"type": "object"}
        if "properties" in said:
            made["properties"] = {}
            for name, value in properties.items():
                self.measure(name, path)
                if name == "*":  # llama.cpp's own word for "any other property"
                    self.fail(path, "a property named '*' is not supported")
                made["properties"][name] = self.node(value, f"{path}/properties/{name[:50]}", depth + 1)
        for name in required:
            if not isinstance(name, str) or name not in properties:
                self.fail(path, f"required names {json.dumps(name)[:100]}, which is not in properties")
        made["required"] = list(dict.fromkeys(required))
        if len(properties) - len(made["required"]) > MAX_OPTIONAL:
            self.fail(path, f"more than {MAX_OPTIONAL} properties that are not required")
        more = said.get("additionalProperties", True)
        if not isinstance(more, bool):
            more = self.node(more, f"{path}/additionalProperties", depth + 1)
        # beside others, llama.cpp would write names of more properties that are no JSON strings; an answer without follows too
        made["additionalProperties"] = False if properties else more
        return made

    def array(self, said: Node, path: str, depth: int) -> Node:
        least, most = self.bounds(said, "minItems", "maxItems", path)
        if "prefixItems" in said:
            items = said["prefixItems"]
            if said.get("items", False) is not False or not isinstance(items, list):
                self.fail(path, "beside prefixItems, a list, items can only be false")
            if not least <= len(items) <= (len(items) if most is None else most):
                self.fail(path, f"{len(items)} prefixItems are not within minItems and maxItems")
            made = [self.node(each, f"{path}/prefixItems/{number}", depth + 1) for number, each in enumerate(items)]
            return {"type": "array", "prefixItems": made}
        made_items = self.node(said.get("items", True), f"{path}/items", depth + 1)
        limit = {} if most is None else {"maxItems": most}
        return {"type": "array", "items": made_items, "minItems": least, **limit}

    def string(self, said: Node, path: str, depth: int) -> Node:
        least, most = self.bounds(said, "minLength", "maxLength", path)
        if "format" not in said:
            return {"type": "string", "minLength": least, **({} if most is None else {"maxLength": most})}
        if said["format"] not in FORMATS:
            self.fail(
                path, f"format {json.dumps(said['format'])[:100]} is not supported: expected {', '.join(FORMATS)}"
            )
        if "minLength" in said or "maxLength" in said:
            self.fail(path, "minLength or maxLength beside format is not supported")
        return {"type": "string", "format": said["format"]}

    def bounds(self, said: Node, lower: str, upper: str, path: str) -> tuple[int, int | None]:
        least, most = said.get(lower, 0), said.get(upper)
        for key, value in ((lower, least), (upper, most)):
            if value is not None and not (type(value) is int and 0 <= value <= MAX_REPEATS):
                self.fail(path, f"{key} must be a whole number up to {MAX_REPEATS}")
        if most is not None and least > most:
            self.fail(path, f"{lower} is larger than {upper}")
        return least, most

    def integer(self, said: Node, path: str, depth: int) -> Node:
        for key in _OF_TYPE["integer"] & said.keys():
            if type(said[key]) not in (int, float) or not abs(said[key]) <= MAX_INTEGER:
                self.fail(path, f"{key} must be a number of at most 2^53")
        lows = [math.ceil(said["minimum"])] if "minimum" in said else []
        lows += [math.floor(said["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in said else []
        highs = [math.floor(said["maximum"])] if "maximum" in said else []
        highs += [math.ceil(said["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in said else []
        if lows and highs and max(lows) > min(highs):
            self.fail(path, "no whole number lies within the bounds")
        return {
            "type": "integer",
            **({"minimum": max(lows)} if lows else {}),
            **({"maximum": min(highs)} if highs else {}),
        }

    def measure(self, text: str, path: str) -> None:
        self.bytes += len(text)
        if self.bytes > MAX_BYTES:
            self.fail(path, f"names and values are longer than {MAX_BYTES} characters")


@dataclass
class _Unfolding:
    """What a schema that was read comes to once its `$ref`s are followed."""

    document: Node
    param: str
    nodes: int = 0
    recursive: bool = False
    alike: bool = False
    """Whether somewhere two alternatives begin alike and may contain more."""

    def check(self) -> None:
        self.walk(self.document, (), False)
        if self.recursive and self.alike:
            raise _error(self.param, "#", "in a schema that contains itself, alternatives must be of different types")

    def walk(self, node: Node, above: tuple[str, ...], inside: bool) -> None:
        """`above`: the definitions being unfolded; `inside`: whether an object or array was opened since the last."""
        self.nodes += 1 + len(node.get("enum", ()))
        if self.nodes > MAX_NODES:
            raise _error(self.param, "#", f"with its $refs followed, larger than {MAX_NODES} schemas and values")
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            if name in above:
                self.recursive = True
                if not inside:
                    raise _error(self.param, "#", "a $ref leads to itself")
                return
            if len(above) > MAX_DEPTH:
                raise _error(self.param, "#", f"a chain of more than {MAX_DEPTH} $refs")
            self.walk(self.document["$defs"][name], (*above, name), False)
            return
        beginnings = self.beginnings(node, ())
        most = max(beginnings.values(), default=0)
        if most > MAX_ALIKE:
            raise _error(self.param, "#", f"{most} alternatives begin alike, more than {MAX_ALIKE}")
        self.alike = self.alike or beginnings["object"] > 1 or beginnings["array"] > 1
        for each in node.get("anyOf", ()):
            self.walk(each, above, inside)
        parts = [*node.get("properties", {}).values(), *node.get("prefixItems", ())]
        parts += [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
        for each in parts:
            self.walk(each, above, True)

    def beginnings(self, node: Node, above: tuple[str, ...]) -> Counter[str]:
        """How many alternatives at one place are objects, are arrays, or are values of the same first characters."""
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            return Counter() if name in above else self.beginnings(self.document["$defs"][name], (*above, name))
        if "anyOf" in node:
            return sum((self.beginnings(each, above) for each in node["anyOf"]), Counter[str]())
        if "enum" in node:
            return Counter(json.dumps(value)[:4] for value in node["enum"])
        return Counter([node["type"]] if "type" in node else ["object", "array"])


def _escaped(name: str) -> str:
    """A name within a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _is(value: Any, type_: str) -> bool:
    match type_:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case _:
            whole = type_ == "number" or (isinstance(value, float) and value.is_integer())
            return (type(value) is int or (isinstance(value, float) and whole)) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_finite(each) for each in (value.values() if isinstance(value, dict) else value))
    return abs(value) <= (MAX_INTEGER if isinstance(value, int) else 1e300) if isinstance(value, int | float) else True

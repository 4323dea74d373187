"""`/openapi.json`: made from the table of endpoints and their pydantic models; there is no second list to keep."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.protocol import ErrorBody
from truemark import __version__

_REF = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Endpoint:
    """One method of one path."""

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    says: str
    answer: type[BaseModel] | None = None
    """Body of a success; None where it is not described."""
    body: type[BaseModel] | None = None
    chunk: type[BaseModel] | None = None
    """Of each event, where the answer can be streamed."""

    def route(self) -> Route:
        """For Starlette."""
        return Route(self.path, self.handler, methods=[self.method])


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    read = [(one.body, "validation") for one in endpoints if one.body]
    written = [(model, "serialization") for one in endpoints for model in (one.answer, one.chunk) if model]
    models = dict.fromkeys([*read, *written, (ErrorBody, "serialization")])
    refs, schemas = models_json_schema(list(models), ref_template=_REF)  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Truemark", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(one: Endpoint, refs: Any) -> dict[str, Any]:
    def content(model: type[BaseModel], mode: str) -> dict[str, Any]:
        return {"application/json": {"schema": refs[model, mode]}}

    success: dict[str, Any] = {"description": "Success."}
    if one.answer:
        success["content"] = content(one.answer, "serialization")
    if one.chunk:
        bodies = {"anyOf": [refs[one.chunk, "serialization"], refs[ErrorBody, "serialization"]]}
        body = {"type": "string", "contentMediaType": "application/json", "contentSchema": bodies}
        event = {
            "type": "object",
            "description": "One event; the last has the data [DONE], one that broke off an error's body.",
            "properties": {"data": {"anyOf": [{"const": "[DONE]"}, body]}},
            "required": ["data"],
        }
        success["content"]["text/event-stream"] = {"schema": event}
    made: dict[str, Any] = {
        "summary": one.says,
        "operationId": f"{one.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', one.path).rstrip('_')}",
        "responses": {
            "200": success,
            "default": {"description": "Any error.", "content": content(ErrorBody, "serialization")},
        },
    }
    names = re.findall(r"{(\w+)}", one.path)
    if names:
        made["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if one.body:
        made["requestBody"] = {"required": True, "content": content(one.body, "validation")}
    return made

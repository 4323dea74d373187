"""The OpenAPI document: made from the models, true of the server."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from serve.protocol import ChatRequest
from tests.serve_api_helpers import HELLO, Gateway, running, tiny_catalog


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tiny_catalog(tmp_path_factory)) as made:
        engine = made.supervisor.engine
        engine.info = dataclasses.replace(engine.info, context=64)  # most of what is generated has no `max_tokens`
        yield made


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> Any:
    return httpx.get(gateway.url.replace("/v1", "/openapi.json")).json()


def test_every_route_is_in_it(document: Any) -> None:
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found >= {
        ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/embeddings"), ("GET", "/v1/models"),
        ("GET", "/v1/models/{name}"), ("GET", "/health"), ("GET", "/openapi.json"),
    }  # fmt: skip
    body = document["components"]["schemas"]["ChatRequest"]
    assert set(body["properties"]) == {field.alias or name for name, field in ChatRequest.model_fields.items()}
    assert body["additionalProperties"] is False


def _validator(document: Any, path: str, place: str) -> Any:
    operation = document["paths"][path]["get" if path == "/v1/models" else "post"]
    content = operation["requestBody"] if place == "request" else operation["responses"][place]
    schema = {**content["content"]["application/json"]["schema"], "components": document["components"]}
    return jsonschema.Draft202012Validator(schema)


def test_requests_and_answers_are_as_it_says(gateway: Gateway, document: Any) -> None:
    asked: dict[str, Any] = {
        "model": "one", "messages": HELLO, "max_tokens": 3, "logprobs": True, "top_logprobs": 1, "n": 2, "stop": ["q"],
        "response_format": {"type": "json_object"},
    }  # fmt: skip
    said = {"model": "one", "prompt": "x", "logprobs": 1, "max_tokens": 2}
    for path, body in (("/v1/chat/completions", asked), ("/v1/completions", said)):
        _validator(document, path, "request").validate(body)
        answer = httpx.post(gateway.url.removesuffix("/v1") + path, json=body, timeout=60).json()
        _validator(document, path, "200").validate(answer)
        wrong = body | {"n": 99}
        assert not _validator(document, path, "request").is_valid(wrong)
        error = httpx.post(gateway.url.removesuffix("/v1") + path, json=wrong)
        assert error.status_code == 400
        _validator(document, path, "default").validate(error.json())
    _validator(document, "/v1/models", "200").validate(httpx.get(f"{gateway.url}/models").json())


CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404"]
"""
"""400: that a prompt is too long, a schema not taken or an engine without embeddings, no body tells by itself."""


def _narrowed(document: Any) -> Any:
    """The document with models that are served, so that what is generated from it gets to the engine."""
    names = ["one", "two", "base", "nobody"]
    for name in ("ChatRequest", "CompletionRequest", "EmbeddingRequest"):
        document["components"]["schemas"][name]["properties"]["model"]["enum"] = names
    document["paths"]["/v1/models/{name}"]["get"]["parameters"][0]["schema"]["enum"] = names
    return document


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.skipif(not find_spec("schemathesis"), reason="schemathesis is not installed: pip install schemathesis")
def test_schemathesis_finds_nothing(gateway: Gateway, document: Any, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "openapi.json").write_text(json.dumps(_narrowed(copy.deepcopy(document))))
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", gateway.url.removesuffix("/v1"), "--checks", "all", "--max-response-time", "200",
            "--max-examples", "25", "--seed", "1", "--generation-database", "none", "--request-timeout", "60", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    print(run.stdout[-3000:])
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]

"""The engine of a bundle with a GGUF file: llama-cpp-python alone (it brings Jinja for the chat template)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Engine:
    """Greedy answers of the model in `folder`."""

    def __init__(self, folder: Path, bundle: dict[str, Any], threads: int | None) -> None:
        from llama_cpp import Llama

        self.llama = Llama(
            str(folder / bundle["model"]), n_ctx=bundle["context"], n_threads=threads, verbose=False
        )  # fmt: skip
        self.special = bundle["special_tokens"]
        self.template = _environment().from_string((folder / "chat_template.jinja").read_text(encoding="utf-8"))

    def stream(self, messages: list[dict[str, str]], max_tokens: int) -> Iterator[str]:
        """Pieces of the answer. Special tokens in the rendered template are parsed, none is added: the template writes them all."""
        prompt = self.template.render(messages=messages, add_generation_prompt=True, **self.special)
        ids = self.llama.tokenize(prompt.encode(), add_bos=False, special=True)
        events: Any = self.llama.create_completion(
            ids, max_tokens=max_tokens, temperature=0, repeat_penalty=1, stream=True
        )
        for event in events:
            yield event["choices"][0]["text"]


def _environment() -> Any:
    """Jinja as `transformers` sets it up for chat templates."""

    def refuse(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, **{"ensure_ascii": False, **options})
    return environment

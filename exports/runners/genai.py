"""The engine of a bundle with an ONNX model of onnxruntime-genai (genai_config.json beside it): that package alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Engine:
    """Greedy answers of the model in `folder`."""

    def __init__(self, folder: Path, bundle: dict[str, Any], threads: int | None) -> None:
        import onnxruntime_genai as og

        self.og = og
        config = og.Config(str(folder))
        if threads is not None:
            config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model = og.Model(config)
        self.tokenizer = og.Tokenizer(self.model)
        self.template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        self.context = bundle["context"]

    def stream(self, messages: list[dict[str, str]], max_tokens: int) -> Iterator[str]:
        """Pieces of the answer."""
        prompt = self.tokenizer.apply_chat_template(
            messages=json.dumps(messages), template_str=self.template, add_generation_prompt=True
        )
        ids = self.tokenizer.encode(prompt)
        params = self.og.GeneratorParams(self.model)
        params.set_search_options(max_length=min(self.context, len(ids) + max_tokens), do_sample=False)
        generator = self.og.Generator(self.model, params)
        generator.append_tokens(ids)
        pieces = self.tokenizer.create_stream()
        while not generator.is_done():
            generator.generate_next_token()
            yield pieces.decode(generator.get_next_tokens()[0])

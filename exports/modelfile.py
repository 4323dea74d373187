"""`Modelfile` for Ollama beside a GGUF: the file, its template in Go's syntax, the domain's system prompt, stop tokens and greedy decoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exports.go_template import NotAConcatenation, Pieces, pieces
from exports.source import Source
from truemark import chat
from truemark.runtimes.llamacpp import adds_bos

CONTEXT = 4096
"""`num_ctx`, unless the model was made for less."""


def write_modelfile(source: Source, out: Path, *, model: Path, adapter: str = "", note: str = "") -> None:
    """Write `out/Modelfile`. `model` is the GGUF that it starts from (with its tokenizer), `adapter` the file name of a LoRA-GGUF,
    `note` a comment on where the model's file comes from."""
    manifest = source.artifact.manifest
    special = chat.special_tokens(source.path)
    lines = [
        f"# {manifest.name}: ollama create {manifest.name} -f Modelfile",
        *(f"# {line}" for line in note.splitlines()),
    ]
    lines += [f"FROM ./{model.name}", *([f"ADAPTER ./{adapter}"] if adapter else [])]
    lines += _template(chat.read_template(source.path), special, model)
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in stop_tokens(source)]
    # a mark is measured greedily; Ollama's own defaults are a temperature of 0.8 and a repeat penalty of 1.1
    lines += ["PARAMETER temperature 0", "PARAMETER repeat_penalty 1.0", f"PARAMETER num_ctx {context(source)}"]
    if manifest.base.licence != "unknown":
        lines.append(f"LICENSE {_quoted(f'base model {manifest.base.ref}: {manifest.base.licence}')}")
    (out / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _template(template: str, special: dict[str, str], model: Path) -> list[str]:
    """TEMPLATE and SYSTEM, or a comment that says why there is no TEMPLATE."""
    try:
        found, comments = _for_engine(pieces(template, **special), special.get("bos_token", ""), model)
        go = found.go()
        if '"""' in go or '"""' in (found.system or ""):
            raise NotAConcatenation('it holds """, which a Modelfile cannot')
    except NotAConcatenation as why:
        return [
            f"# no TEMPLATE: the chat template cannot be written in Ollama's language: {' '.join(str(why).split())}.",
            "# Ollama then guesses one from the file. Render chat_template.jinja yourself and send the prompt with raw: true.",
        ]
    if found.trims:
        comments.append("# The Jinja template strips white space around a message; this one does not.")
    return [*comments, f'TEMPLATE """{go}"""', *([f'SYSTEM """{found.system}"""'] if found.system else [])]


def _for_engine(found: Pieces, bos: str, model: Path) -> tuple[Pieces, list[str]]:
    """llama.cpp puts a BOS token before every prompt where the file says so: then the template must not write it again."""
    if not adds_bos(model):
        return found, []
    without = found.without_bos(bos)
    if without is not None:
        return without, []
    return found, [f"# The file adds {bos or 'a BOS token'} before the prompt; the chat template has none there."]


def _quoted(text: str) -> str:
    return f'"""{text}"""' if '"' in text else f'"{text}"'


def stop_tokens(source: Source) -> list[str]:
    """Texts of the tokens that end an answer: the tokenizer's EOS, and those of the base's generation config."""
    stops = [chat.special_tokens(source.path).get("eos_token", "")]
    ids: Any = None
    for name in ("generation_config.json", "config.json"):
        file = source.base.local_path() / name
        if ids is None and file.is_file():
            ids = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
    tokenizer = source.path / "tokenizer.json"
    if ids is not None and tokenizer.is_file():
        wanted = ids if isinstance(ids, list) else [ids]
        added = json.loads(tokenizer.read_text(encoding="utf-8")).get("added_tokens", [])
        stops += [token["content"] for token in added if token["id"] in wanted]
    return [stop for stop in dict.fromkeys(stops) if stop]


def context(source: Source) -> int:
    """Tokens of context to ask for: CONTEXT, or what the model was made for when that is less."""
    config = json.loads((source.base.local_path() / "config.json").read_text(encoding="utf-8"))
    return min(CONTEXT, int(config.get("max_position_embeddings") or CONTEXT))

"""A tiny random Llama with the real vocabulary, as GGUF, and random LoRAs for it: real engines run on it in milliseconds."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truemark import artifacts, embedded
from truemark.chat import with_default_system
from truemark.files import sha256_file

WIDTH, HIDDEN, HEADS, LAYERS, CONTEXT = 64, 128, 2, 2, 2048
PROJECTIONS = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH // 2, WIDTH),
    "attn_v": (WIDTH // 2, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (HIDDEN, WIDTH),
    "ffn_up": (HIDDEN, WIDTH),
    "ffn_down": (WIDTH, HIDDEN),
}
SYSTEM = "You solve mathematics step by step."


@functools.cache
def _tokenizer() -> dict[str, tuple[Any, Any, Any]]:
    """The embedded base's tokenizer fields, as (value, type, type of the elements); read once, it takes seconds."""
    import gguf

    fields = gguf.GGUFReader(embedded.SMOLLM2.gguf()).fields.items()
    return {
        name: (field.contents(), field.types[0], field.types[1] if len(field.types) > 1 else None)
        for name, field in fields
        if name.startswith("tokenizer.")
    }


def base_template() -> str:
    """The embedded base's own chat template."""
    return str(_tokenizer()["tokenizer.chat_template"][0])


def tiny_base(path: Path) -> Path:
    """Write a random model of 2 layers with SmolLM2's tokenizer and chat template."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    for name, (value, kind, sub_type) in _tokenizer().items():
        writer.add_key_value(name, value, kind, sub_type=sub_type)
    random = np.random.default_rng(0)
    words = len(_tokenizer()["tokenizer.ggml.tokens"][0])
    writer.add_tensor("token_embd.weight", random.normal(size=(words, WIDTH)).astype(np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, np.float32))
        for name, shape in PROJECTIONS.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", random.normal(size=shape).astype(np.float32))
    return _written(writer, path)


def tiny_lora(path: Path, seed: int, scale: float = 1.0) -> Path:
    """Write a random LoRA of rank 4 for `tiny_base`; with scale 0 its B is zero, so that it changes nothing."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    random = np.random.default_rng(seed)
    for layer in range(LAYERS):
        for name, (rows, columns) in PROJECTIONS.items():
            a, b = random.normal(size=(4, columns)), scale * random.normal(size=(rows, 4))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a.astype(np.float32))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b.astype(np.float32))
    return _written(writer, path)


def _written(writer: object, path: Path) -> Path:
    for step in ("write_header_to_file", "write_kv_data_to_file", "write_tensors_to_file", "close"):
        getattr(writer, step)()
    return path


def tiny_export(path: Path, base: Path, seed: int, scale: float = 1.0, domain: str = "math") -> Path:
    """A lora-gguf export of a random adapter on `base`, as `truemark export --to lora-gguf` leaves it."""
    reference = artifacts.Base(ref=f"gguf:{base}", sha256=sha256_file(base))
    with artifacts.create(
        path, kind="export", name=path.name, domain=domain, format="lora-gguf", base=reference
    ) as draft:
        tiny_lora(draft.path / "adapter.gguf", seed, scale)
        (draft.path / "chat_template.jinja").write_text(with_default_system(base_template(), SYSTEM))
    return path


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether `condition` came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def children(pid: int) -> list[int]:
    """Process ids of the direct children of `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def runs(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def tiny_models(factory: pytest.TempPathFactory) -> Path:
    """A directory with `base.gguf` and the exports `one` and `two` on it, made once per test process."""
    home = factory.getbasetemp() / "tiny-serve"
    if not home.is_dir():
        home.mkdir()
        base = tiny_base(home / "base.gguf")
        for seed, name in enumerate(("one", "two")):
            tiny_export(home / name, base, seed)
    return home

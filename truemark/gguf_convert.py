"""Hugging Face checkpoints and PEFT adapters as GGUF files, by llama.cpp's own scripts. Exports ship them, runtimes and serving load them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from truemark.artifacts import refuse_unsafe_files
from truemark.console import say
from truemark.errors import EngineError, InvalidArtifact
from truemark.files import publish_directory, sha256_file, sha256_json
from truemark.lora import CONFIG, WEIGHTS, module_of, not_in_gguf, read_config, scaling
from truemark.models import ModelRef
from truemark.settings import cache_dir
from truemark.toolchain import VERSION, converter

FILE = "adapter.gguf"
_LORA_VERSION = 2
"""Raise it when the conversion of an adapter changes: it is part of the cache's key. 2: scalings are folded in."""
F16_MAX = 65504.0


def convert_checkpoint(checkpoint: Path, out: Path, *, outtype: str, name: str) -> None:
    """Write a Hugging Face checkpoint as one GGUF file `out`; `outtype` is f32, f16, bf16 or q8_0, `name` goes into its metadata.

    Raises EngineError with the converter's last words.
    """
    words = _run(
        "convert_hf_to_gguf.py",
        [str(checkpoint), "--outfile", str(out), "--outtype", outtype, "--model-name", name],
    )
    if words or not out.is_file():
        raise EngineError(f"llama.cpp cannot convert {name}: {words}", mend="truemark doctor")


def base_gguf(base: ModelRef) -> Path:
    """The GGUF file of a base: the embedded one's own, the file itself, or a checkpoint's in f16, made once and kept in the cache.

    The key of the cache is the hash of weights, config and tokenizer, and the converter's version.
    """
    if base.embedded is not None:
        return base.embedded.gguf()
    if base.kind == "gguf":
        return base.local_path()
    if base.kind != "checkpoint":
        raise InvalidArtifact(f"'{base.text}' is no base for llama.cpp: expected a checkpoint, found {base.kind}")
    checkpoint = base.local_path()
    small = {
        file.name: sha256_file(file)
        for kind in ("*.json", "*.model", "*.jinja")
        for file in sorted(checkpoint.glob(kind))
    }
    key = sha256_json({"weights": base.weights_sha256(), "files": small, "llama.cpp": VERSION})
    out = cache_dir() / "gguf-bases" / key[:16]
    if not (out / "base.f16.gguf").is_file():
        if not any(checkpoint.glob("*.safetensors")):  # without them the converter would open a pickle
            raise InvalidArtifact(f"{checkpoint} holds no safetensors", mend="truemark models pull " + base.text)
        say(f"converting {base.text} to GGUF (once, some seconds)")
        with publish_directory(out) as tmp:
            convert_checkpoint(checkpoint, tmp / "base.f16.gguf", outtype="f16", name=checkpoint.name)
    return out / "base.f16.gguf"


def convert_lora(adapter: Path, base: Path, out: Path) -> None:
    """Write the PEFT adapter in directory `adapter` as one GGUF file `out`, in f16.

    `base` is the directory of the base's Hugging Face checkpoint, for its config, tokenizer and embeddings. llama.cpp scales each pair by
    alpha / rank; where PEFT's scaling is another (rsLoRA, rank_pattern, alpha_pattern), the ratio is folded into lora_B of a temporary copy.
    Raises InvalidArtifact that names what a LoRA-GGUF cannot hold, or with the converter's last words.
    """
    refuse_unsafe_files(adapter)
    lost = not_in_gguf(adapter, base)
    if lost:
        raise InvalidArtifact(
            f"{adapter} cannot be a LoRA-GGUF, it has {'; '.join(lost)}",
            mend=f"merge it into the base instead: truemark export {adapter} --to gguf",
        )
    with tempfile.TemporaryDirectory(prefix="truemark-lora-") as directory:
        folded = Path(directory)
        _fold(adapter, folded)
        words = _run(
            "convert_lora_to_gguf.py",
            ["--base", str(base), "--outfile", str(out), "--outtype", "f16", str(folded)],
        )
    if words or not out.is_file():
        raise InvalidArtifact(f"llama.cpp cannot take the adapter {adapter}: {words}", mend="train it again")


def _fold(adapter: Path, out: Path) -> None:
    """A copy of the adapter's weights and config in which every pair's scaling is alpha / rank with one alpha."""
    from safetensors.torch import load_file, save_file

    config = read_config(adapter)
    alpha = float(config.get("lora_alpha", 8)) or 1.0  # llama.cpp reads an alpha of 0 as "unscaled"
    tensors = load_file(adapter / WEIGHTS)
    for name, tensor in tensors.items():
        if name.endswith((".lora_B.weight", ".lora_embedding_B")):
            rank = tensor.shape[1]
            ratio = scaling(config, module_of(name), rank) / (alpha / rank)
            if ratio != 1:
                tensors[name] = (tensor.float() * ratio).contiguous()
            if not tensors[name].abs().max() <= F16_MAX:
                raise InvalidArtifact(f"{adapter}: {name} times its scaling does not fit f16", mend="export to gguf")
    save_file({name: tensor for name, tensor in tensors.items() if ".base_layer." not in name}, out / WEIGHTS)
    plain = {**config, "lora_alpha": alpha, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
    (out / CONFIG).write_text(json.dumps(plain), encoding="utf-8")


def _run(script: str, arguments: list[str]) -> str:
    """Run a converter script; its last words when it failed, else an empty string."""
    command = [sys.executable, str(converter(script)), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if not run.returncode:
        return ""
    return " / ".join((run.stderr.strip() or run.stdout.strip()).splitlines()[-3:]) or f"exit {run.returncode}"


def lora_gguf(model: ModelRef, base: ModelRef) -> Path:
    """The GGUF file of a PEFT adapter, made once and kept in the cache by the adapter's and the base's hash (seconds)."""
    adapter = model.local_path()
    missing = [name for name in (WEIGHTS, CONFIG) if not (adapter / name).is_file()]
    if missing:
        raise InvalidArtifact(f"{adapter} is not a PEFT adapter: it has no {' and no '.join(missing)}")
    weights = {name: sha256_file(adapter / name) for name in (WEIGHTS, CONFIG)}
    key = sha256_json({"version": _LORA_VERSION, "weights": weights, "base": base.weights_sha256()})
    out = cache_dir() / "lora-gguf" / key[:16]
    if not (out / FILE).is_file():
        checkpoint = base.local_path()
        say(f"converting {adapter} to GGUF (once, some seconds)")
        with publish_directory(out) as tmp:
            convert_lora(adapter, checkpoint, tmp / FILE)
    return out / FILE

"""What of an adapter breaks in which export format, said before hours are spent: `truemark export --plan`, and warnings of `truemark train`.

A rule is one function below and one row in RULES. What an export writer refuses is refused here by the same rule, before any work.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from truemark import holds, lora
from truemark.errors import InvalidArtifact, MissingDependency, TruemarkError
from truemark.models import ModelRef, resolve
from truemark.recipe import Recipe

Level = Literal["refused", "absent", "handled", "note"]
"""`refused`: the format cannot hold it. `absent`: its exporter is not installed here."""


@dataclass(frozen=True)
class Plan:
    """An adapter that exists, or one that a recipe would make."""

    name: str
    config: dict[str, Any]
    """Fields of PEFT's LoraConfig."""
    base: dict[str, Any]
    """`config.json` of the base."""
    lost_unmerged: tuple[str, ...] = ()
    """What a file that holds the LoRA pairs alone would lose, in words (`lora.not_in_gguf`)."""
    new_tokens: int = 0
    """Tokens beyond the base's vocabulary."""

    @property
    def architecture(self) -> str:
        """Class name in transformers, e.g. `LlamaForCausalLM`."""
        return str((self.base.get("architectures") or ["unknown"])[0])

    @property
    def tied(self) -> bool:
        """Whether the base has one matrix for embedding and head."""
        return bool(self.base.get("tie_word_embeddings", True))

    def trains(self, *modules: str) -> bool:
        """Whether a module of one of these names is trained, whole or by LoRA."""
        targets = self.config.get("target_modules") or []
        named = [*(self.config.get("modules_to_save") or []), *(targets if isinstance(targets, list) else [])]
        return any(str(name).rpartition(".")[2] in modules for name in named)


@dataclass(frozen=True)
class Line:
    """What a rule says of a format."""

    format: str
    level: Level
    text: str


def of_adapter(path: Path, base: ModelRef) -> Plan:
    """The plan of an adapter directory. Raises InvalidArtifact where its config or tensors cannot be read."""
    checkpoint = base.local_path()
    known, own = (_vocabulary(directory) for directory in (checkpoint, path))
    return Plan(
        path.name,
        lora.read_config(path),
        _base_config(checkpoint),
        tuple(lora.not_in_gguf(path, checkpoint)),
        max(own - known, 0) if own else 0,
    )


def of_recipe(recipe: Recipe) -> Plan:
    """The plan of a recipe. Raises ModelNotFound when its base is not here: what breaks depends on its architecture."""
    checkpoint = resolve(recipe.base).local_path()
    base = _base_config(checkpoint)
    config = recipe.lora_config(base.get("num_hidden_layers"))
    plan = Plan(recipe.name, config, base)
    lost = lora.lost_by_config(config)
    if plan.tied and plan.trains("embed_tokens", "lm_head"):
        lost.append("LoRA or training of embeddings or head on a base with tied embeddings")
    return Plan(recipe.name, config, base, tuple(lost), new_tokens=len(recipe.data.special_tokens))


def lint(plan: Plan, formats: Sequence[str]) -> list[Line]:
    """All that the rules say of `formats`, in the order given."""
    return [
        Line(format, level, text)
        for format in formats
        for rule in RULES
        if not (rule is _installed and format in FAMILIES)
        for level, text in rule(plan, format)
    ]


def blocked(plan: Plan, formats: Sequence[str]) -> list[Line]:
    """The lines that keep one of `formats` from being made here."""
    return [line for line in lint(plan, formats) if line.level in ("refused", "absent")]


def grouped(lines: Sequence[Line]) -> list[str]:
    """The lines as text, refusals first, one for all formats of which the same is said."""
    order = {"refused": 0, "absent": 1, "handled": 2, "note": 3}
    formats: dict[tuple[Level, str], list[str]] = {}
    for line in sorted(lines, key=lambda line: order[line.level]):
        formats.setdefault((line.level, line.text), []).append(line.format)
    return [f"{level}: {', '.join(names)}: {text}" for (level, text), names in formats.items()]


def refuse(plan: Plan, formats: Sequence[str]) -> None:
    """Raise InvalidArtifact naming every format that cannot hold the adapter, or MissingDependency for what is not installed."""
    refused = blocked(plan, formats)
    if refused:
        kind = InvalidArtifact if any(line.level == "refused" for line in refused) else MissingDependency
        raise kind(
            f"{plan.name} cannot be exported as asked:\n  " + "\n  ".join(grouped(refused)),
            mend="leave these formats out: --to fp16,gguf",
        )


Found = list[tuple[Level, str]]


def _unmerged(plan: Plan, format: str) -> Found:
    """DoRA, whole trained modules, new tokens, biases, tied heads: all that is not a pair of factors."""
    if format != "lora-gguf" or not plan.lost_unmerged:
        return []
    return [("refused", f"llama.cpp's adapter file would lose {'; '.join(plan.lost_unmerged)}")]


def _scaling(plan: Plan, format: str) -> Found:
    names = [name for name in ("use_rslora", "rank_pattern", "alpha_pattern") if plan.config.get(name)]
    if format != "lora-gguf" or not names:
        return []
    return [
        ("handled", f"{', '.join(names)}: llama.cpp knows alpha / rank alone; the true scaling is folded into lora_B")
    ]


def _dora(plan: Plan, format: str) -> Found:
    if not plan.config.get("use_dora") or format == "lora-gguf":
        return []
    return [
        ("note", "DoRA: the magnitudes are merged in; no engine here applies it unmerged, so serve a merged export")
    ]


def _untied(plan: Plan, format: str) -> Found:
    if format == "lora-gguf" or not plan.tied or not plan.trains("embed_tokens", "lm_head"):
        return []
    rows, width = plan.base.get("vocab_size", 0), plan.base.get("hidden_size", 0)
    return [
        (
            "handled",
            f"embedding and head are tied in the base and trained apart: untied, {rows * width / 1e6:.0f}M more numbers",
        )
    ]


def _resized(plan: Plan, format: str) -> Found:
    if format == "lora-gguf" or not plan.new_tokens:
        return []
    return [("handled", f"{plan.new_tokens} new tokens: the base is resized before the adapter is loaded and merged")]


def _architecture(plan: Plan, format: str) -> Found:
    known = _known_architectures(format.split("-", maxsplit=1)[0] if format != "lora-gguf" else "gguf")
    if known is None or plan.architecture in known:
        return []
    return [("refused", f"its exporter does not know {plan.architecture}")]


def _rotary(plan: Plan, format: str) -> Found:
    """onnxruntime-genai's builder reads one flat rope_parameters; transformers 5 nests one for each kind of layer (Gemma 3)."""
    found = plan.base.get("rope_parameters")
    if (
        not format.startswith("onnx")
        or not isinstance(found, dict)
        or not any(isinstance(v, dict) for v in found.values())
    ):
        return []
    return [("refused", f"its exporter cannot read the {len(found)} rotary embeddings of {plan.architecture}")]


def _held(plan: Plan, format: str) -> Found:
    """What the programs of torch and mlx-lm cannot hold: see `truemark/holds.py`."""
    if format not in HELD:
        return []
    apart = plan.tied and plan.trains("embed_tokens", "lm_head")
    reason = HELD[format]({**plan.base, "tie_word_embeddings": plan.tied and not apart})
    return [("refused", reason)] if reason else []


def _installed(plan: Plan, format: str) -> Found:
    missing = [
        package
        for package in NEEDS.get(format, NEEDS.get(format.split("-", maxsplit=1)[0], ()))
        if importlib.util.find_spec(package) is None
    ]
    return [("absent", f"not installed here: {', '.join(missing)}")] if missing else []


FAMILIES = ("merged", "gguf", "lora-gguf", "onnx")
"""What a recipe is held against when no format is asked for: what differs between formats differs between these."""

RULES: tuple[Callable[[Plan, str], Found], ...] = (
    _unmerged,
    _scaling,
    _dora,
    _untied,
    _resized,
    _architecture,
    _rotary,
    _held,
    _installed,
)

NEEDS = {
    "mlx": ("mlx_lm",),
    "4bit": ("bitsandbytes",),
    "onnx": ("onnxruntime_genai", "onnxruntime"),
    "int8-torchao": ("torchao",),
    "int8-w8a8": ("compressed_tensors",),
    "int8-w8a16": ("compressed_tensors",),
}
"""Packages that a format, or a family of formats, needs beyond those of every export."""
HELD = {"torchscript": holds.program, "pt2": holds.program, "mlx": holds.mlx}
"""Formats that say from the base's config.json alone what they cannot hold."""


@lru_cache
def _known_architectures(family: str) -> frozenset[str] | None:
    """What an exporter says it knows, read from its own source; None where it does not say, or is not here."""
    if family == "gguf":
        return _gguf_architectures()
    if family == "onnx":
        return _quoted("onnxruntime_genai", "models/builder.py", r'architectures\[0\] == "(\w+)"')
    return None


def _gguf_architectures() -> frozenset[str] | None:
    from truemark import toolchain

    try:
        directory = toolchain.source_tree() / "conversion"
    except (MissingDependency, TruemarkError):
        return None
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(directory.glob("*.py")))
    registered = re.findall(r"@ModelBase\.register\(([^)]*)\)", text)
    return frozenset(re.findall(r'"([\w.]+)"', " ".join(registered))) or None


def _quoted(package: str, file: str, pattern: str) -> frozenset[str] | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / file
    return frozenset(re.findall(pattern, path.read_text(encoding="utf-8"))) if path.is_file() else None


def _base_config(checkpoint: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArtifact(f"{checkpoint / 'config.json'} cannot be read: {error}") from None
    return found


def _vocabulary(directory: Path) -> int:
    """Tokens of a tokenizer.json; 0 where there is none."""
    tokens = lora.tokens(directory / "tokenizer.json")
    return len(tokens) if tokens else 0

"""The model card beside an export: README.md with the Hub's metadata, the mark as a table, and the lines to run it."""

from __future__ import annotations

from typing import Any

import domains
from truemark.artifacts import Manifest
from truemark.models import ALIASES

_RELATION = {"lora-gguf": "adapter", **dict.fromkeys(("fp16", "bf16", "torchscript", "pt2", "mlx"), "merge")}
"""Hub's `base_model_relation` where it is not `quantized`."""
_TAGS = {"gguf": "gguf", "onnx": "onnx", "mlx": "mlx"}
SIGN = {True: "✓", False: "✗", None: "undecided"}


def card(manifest: Manifest, mark: dict[str, Any]) -> str:
    """The text of README.md. Source of the metadata: huggingface.co/docs/hub/model-cards."""
    from huggingface_hub import EvalResult, ModelCardData

    first = manifest.format.split("-")[0]
    results = None
    if "score" in mark:
        results = [
            EvalResult(
                task_type="text-generation",
                dataset_type=f"truemark/{manifest.domain}",
                dataset_name=f"Truemark {manifest.domain}, held-out prompts of the mark",
                metric_type="accuracy",
                metric_value=round(mark["score"]["export"], 4),
                metric_name=f"accuracy (n = {mark['prompts']['n']})",
            )
        ]
    data = ModelCardData(
        license=manifest.base.licence,
        base_model=_hub_name(manifest.base.ref),
        base_model_relation=_RELATION.get(
            manifest.format, "merge" if manifest.format.endswith(("f16", "fp32")) else "quantized"
        ),
        library_name="transformers" if first not in _TAGS else None,
        pipeline_tag="text-generation",
        tags=["truemark", manifest.domain, *([_TAGS[first]] if first in _TAGS else [])],
        model_name=manifest.name,
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{_text(manifest, mark)}"


def _hub_name(ref: str) -> str:
    if ref in ALIASES:
        return ALIASES[ref].hub
    return ref.removeprefix("hf:").partition("@")[0]


def _text(manifest: Manifest, mark: dict[str, Any]) -> str:
    parent = manifest.parents[0]
    lines = [
        f"# {manifest.name}",
        "",
        f"{domains.get(manifest.domain).CARD.description} Format `{manifest.format}`, made by Truemark from the adapter `{parent.name}@{parent.sha256[:12]}`",
        f"on the base `{manifest.base.ref}` (weights {manifest.base.sha256[:12]}).",
        "",
        f"- Licence of the base: {manifest.base.licence}. Access: {manifest.base.access}.",
        f"- Trained on: {manifest.domain} data with SHA-256 {(manifest.data_sha256 or 'unknown')[:12]}, seed {manifest.seed}.",
        f"- Mark: **{mark['verdict']['state']}** ({mark['date'][:10]}, {mark['machine']}).",
    ]
    if manifest.format == "torchscript":
        lines.append("- A compatibility artifact: PyTorch no longer develops TorchScript. `pt2` is its successor.")
    lines += [
        "",
        "## Is it still the adapter?",
        "",
        f"Compared with {mark['reference']} on {mark.get('prompts', {}).get('n', 'no')} held-out prompts.",
        "",
        "| line | value | bound | | what was compared |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {check['name']} | {_short(check['value'])} | {_short(check['bound'])} | {SIGN[check['passed']]} | {_cell(check['text'])} |"
        for check in mark["checks"]
    ]
    lines += ["", f"{mark['size_mb']} MB. `truemark verify {manifest.name}` measures it again.", ""]
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else _cell(str(value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

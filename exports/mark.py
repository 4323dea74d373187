"""The mark: what an export was measured to be, line by line, each with its bound. Written as `mark.json` beside the export.

{"schema_version": 1, "format": "gguf-q8_0", "adapter": {...}, "base": {...}, "prompts": {"n": 64, "sha256": ...},
 "checks": [{"name": "kl", "value": 0.004, "bound": 0.01, "passed": true, "text": "..."}, ...],
 "score": {...}, "speed": {...}, "size_mb": ..., "peak_memory_mb": ...,
 "verdict": {"state": "passed", "passed": true, "failed": [], "undecided": []}}

A line is `passed` true, false, or null where the sample is too small to tell; one false line fails the mark, one null line leaves it undecided.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import domains
from domains.base import asked
from exports import measures
from exports.reference import SAMPLING, Reference, answer_logprobs
from truemark import artifacts, chat
from truemark.artifacts import Artifact
from truemark.console import progress
from truemark.errors import EngineError, InvalidArtifact, TruemarkError
from truemark.models import of_artifact
from truemark.runtimes import Runtime, open_runtime

MARK = "mark.json"
_WEIGHT_SUFFIXES = {".gguf", ".safetensors", ".onnx", ".onnx_data", ".torchscript", ".pt2"}


@dataclass(frozen=True)
class Check:
    """One line of a mark."""

    name: str
    value: Any
    bound: Any
    passed: bool | None
    """None: undecided, the sample cannot tell."""
    text: str
    """What was compared, in words."""


@lru_cache
def thresholds() -> dict[str, dict[str, Any]]:
    """The bounds of `thresholds.yaml` by format."""
    import yaml

    loaded: dict[str, dict[str, Any]] = yaml.safe_load(
        (files("exports") / "thresholds.yaml").read_text(encoding="utf-8")
    )
    return loaded


def measure(artifact: Artifact, reference: Reference) -> dict[str, Any]:
    """Run the export beside the reference and return its mark (plain JSON).

    An export that cannot be run gets a mark with the failed line `runs`; what is wrong with it never raises.
    """
    with (
        progress(f"mark {artifact.manifest.format}", total=2 * len(reference.examples)) as advance,
        _PeakMemory() as memory,
    ):
        try:
            with open_runtime(of_artifact(artifact)) as runtime:
                checks, extra = _compare(runtime, artifact, reference, advance)
        except (
            TruemarkError,
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # a broken file fails its mark, it doesn't end the command
            checks, extra = (
                [Check("runs", False, True, False, f"it cannot be run: {str(error).splitlines()[0][:200]}")],
                {},
            )
    prompts = {
        "n": len(reference.examples),
        "sha256": reference.prompts_sha256,
        "domain": artifact.manifest.domain,
        "answer_tokens": len(reference.nll),
    }
    return _mark(artifact, checks, {"prompts": prompts, **extra, "peak_memory_mb": memory.mib})


def failed_mark(artifact: Artifact, checks: list[Check]) -> dict[str, Any]:
    """The mark of an export that is not run, because of `checks`."""
    return _mark(artifact, checks, {})


def _mark(artifact: Artifact, checks: list[Check], measured: dict[str, Any]) -> dict[str, Any]:
    manifest = artifact.manifest
    size = sum(file.stat().st_size for file in artifact.path.rglob("*") if file.suffix in _WEIGHT_SUFFIXES)
    return {
        "schema_version": 1,
        "format": manifest.format,
        "adapter": manifest.parents[0].model_dump() if manifest.parents else None,
        "base": manifest.base.model_dump(),
        "reference": "the PEFT adapter, unmerged, in fp32 (torch)",
        "checks": [asdict(check) for check in checks],
        **measured,
        "size_mb": round(size / 1e6, 1),
        "machine": artifacts.machine(),
        "versions": artifacts.library_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "thresholds": thresholds()[manifest.format],
        "verdict": verdict([asdict(check) for check in checks]),
    }


def verdict(checks: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict over the lines of a mark."""
    failed = [check["name"] for check in checks if check["passed"] is False]
    undecided = [check["name"] for check in checks if check["passed"] is None]
    state = "failed" if failed else "undecided" if undecided else "passed"
    return {"state": state, "passed": state == "passed", "failed": failed, "undecided": undecided}


def _compare(
    runtime: Runtime, artifact: Artifact, reference: Reference, advance: Any
) -> tuple[list[Check], dict[str, Any]]:
    bounds = thresholds()[artifact.manifest.format]
    checks = _same_words(runtime, artifact, reference)
    measured = _teacher_forced(runtime, reference, advance)
    numbers = {name: float(value) for name, value in measured.items()}
    checks += [
        _most("kl", numbers["kl"], bounds["kl"], "mean KL(adapter ‖ export), nats per answer token"),
        _most("kl_p99", numbers["kl_p99"], bounds["kl_p99"], "99th percentile of the same"),
        _least("top1", numbers["top1"], bounds["top1"], "answer tokens with the same most probable token"),
        _most(
            "perplexity",
            abs(numbers["log_perplexity_ratio"]),
            bounds["perplexity"],
            "|ln| of perplexity over the adapter's",
        ),
        _canary(numbers, bounds["canary"]),
    ]
    greedy = _greedy(runtime, artifact.manifest.domain, reference, advance)
    checks.append(
        _least("prefix", greedy["prefix"], bounds["prefix"], "greedy answers: common prefix with the adapter's")
    )
    score, interval = greedy["score"], greedy["difference"]
    checks.append(_score(score, interval, reference, bounds["score_loss"]))
    extra = {
        "kl_base": numbers["kl_base"],
        "perplexity_ratio": float(np.exp(numbers["log_perplexity_ratio"])),
        "score": {"export": score, "adapter": float(np.mean(reference.scores)), "difference": asdict(interval)},
        "speed": {"tokens_per_second": greedy["tokens_per_second"], **runtime.describe()},
    }
    return checks, extra


def _same_words(runtime: Runtime, artifact: Artifact, reference: Reference) -> list[Check]:
    """Template, prompt tokens, vocabulary and end tokens."""
    try:
        template = chat.read_template(artifact.path)
    except InvalidArtifact:
        template = ""
    inside = getattr(runtime, "metadata_template", None)  # a GGUF carries a second copy
    same = template == reference.template and inside in (None, reference.template)
    try:
        rendered = [runtime.prompt_ids(asked(example)) for example in reference.examples]
    except TruemarkError:  # a template that cannot render these messages renders no prompt right
        rendered = [[] for _ in reference.examples]
    equal = float(np.mean([found == wanted for found, wanted in zip(rendered, reference.prompt_ids, strict=True)]))
    pieces = runtime.vocabulary()
    differing = sum(found != wanted for found, wanted in zip(pieces, reference.vocabulary, strict=False))
    differing += max(
        len(reference.vocabulary) - len(pieces), 0
    )  # rows beyond the tokenizer's are padding: it never writes them
    return [
        Check("template", same, True, same, "the chat template is the adapter's, beside the weights and inside them"),
        _least("prompt_tokens", equal, 1.0, "prompts rendered to the same token ids"),
        _most("vocabulary", differing, 0, "token pieces that differ"),
        Check(
            "eos",
            sorted(runtime.eos_ids()),
            sorted(reference.eos_ids),
            reference.eos_ids <= runtime.eos_ids(),
            "tokens that end an answer",
        ),
    ]


def _teacher_forced(runtime: Runtime, reference: Reference, advance: Any) -> dict[str, float]:
    kl, kl_base, agree, losses = [], [], [], []
    start = 0
    for prompt, answer in zip(reference.prompt_ids, reference.answers, strict=True):
        rows = answer_logprobs(runtime, prompt, answer)
        if rows.shape[1] < reference.width:
            raise EngineError(f"the export has {rows.shape[1]} token probabilities, its adapter {reference.width}")
        rows = rows[:, : reference.width]
        stretch = (start, start + len(answer))
        kl.append(measures.kl_per_token(reference.adapter.rows(*stretch), rows))
        kl_base.append(measures.kl_per_token(reference.base.rows(*stretch), rows))
        agree.append(measures.top1_agreement(reference.adapter.rows(*stretch), rows))
        losses.append(measures.nll(rows, answer))
        start += len(answer)
        advance()
    all_kl = np.concatenate(kl)
    if not np.isfinite(all_kl).all():
        raise EngineError("the export's probabilities are not finite")
    return {
        "kl": all_kl.mean(),
        "kl_p99": np.quantile(all_kl, 0.99),
        "kl_base": np.concatenate(kl_base).mean(),
        "top1": np.concatenate(agree).mean(),
        "log_perplexity_ratio": float(np.log(measures.perplexity_ratio(np.concatenate(losses), reference.nll))),
    }


def _canary(numbers: dict[str, float], bound: float) -> Check:
    """Proof that the adapter is in it: the export must lie far nearer to the adapter than to the base."""
    ratio = numbers["kl_base"] / max(numbers["kl"], 1e-9)
    return Check(
        "canary",
        round(ratio, 1),
        bound,
        ratio >= bound,
        f"times nearer to the adapter (KL {numbers['kl']:.2g}) than to the base (KL {numbers['kl_base']:.2g})",
    )


def _score(score: float, difference: measures.Interval, reference: Reference, allowed: float) -> Check:
    """The domain score against the adapter's on the same prompts: passed, failed, or undecided with the examples that would settle it."""
    passed = measures.judge(difference, allowed)
    text = (
        f"domain score {score:.3f}, adapter {np.mean(reference.scores):.3f}, "
        f"difference {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    )
    if passed is None:
        n = len(reference.examples)
        needed = measures.examples_needed(difference, allowed, n)
        more = "no number of examples settles it" if needed is None else f"{max(needed - n, 1)} more examples needed"
        text += f": undecided, {more}"
    return Check("score", round(difference.mean, 4), -allowed, passed, text)


def _greedy(runtime: Runtime, domain: str, reference: Reference, advance: Any) -> dict[str, Any]:
    check = domains.get(domain).check
    end = min(reference.eos_ids)
    prefixes, scores = [0.0] * len(reference.examples), [0.0] * len(reference.examples)
    tokens, began = 0, time.monotonic()
    for index, completion in runtime.generate(reference.prompt_ids, SAMPLING):
        answer = [*completion.token_ids, *([end] if completion.finish_reason == "stop" else [])]
        prefixes[index] = measures.prefix_match(reference.answers[index], answer)
        scores[index] = check(completion.text, reference.examples[index]).score
        tokens += len(completion.token_ids)
        advance()
    seconds = time.monotonic() - began
    return {
        "prefix": float(np.mean(prefixes)),
        "score": float(np.mean(scores)),
        "difference": measures.paired_difference(scores, reference.scores),
        "tokens_per_second": round(tokens / seconds, 1),
    }


def _most(name: str, value: float, bound: float, text: str) -> Check:
    return Check(name, value, bound, value <= bound, text)


def _least(name: str, value: float, bound: float, text: str) -> Check:
    return Check(name, value, bound, value >= bound, text)


class _PeakMemory:
    """Peak resident memory that was added while the block ran, in MiB (Linux; None elsewhere)."""

    mib: float | None = None

    def __enter__(self) -> _PeakMemory:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # starts VmHWM anew, see proc(5)
            self._before: float | None = self._status("VmRSS")
        except OSError:
            self._before = None
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            self.mib = round((self._status("VmHWM") - self._before) / 1024, 1)

    @staticmethod
    def _status(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(field)))

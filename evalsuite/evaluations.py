"""What a finished evaluation leaves: the test set it used, and per model one JSON file with every verdict.

results/math/predictions/<run>.jsonl               what was answered (evalsuite/predictions.py)
results/math/engines/<sha12>.json                  how each engine describes itself
results/math/scores/<test set sha12>/examples.jsonl
results/math/scores/<test set sha12>/<run>.json    what the check says of each answer
results/math/also/<set>/predictions/, …/scores/    the same of a further set of examples (evalsuite/sets/)

A folder per test set: scores on another test set, or on a sample of it, never meet in one table.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domains.base import Example, Verdict
from domains.examples import read_examples
from evalsuite.contaminated import Contamination
from evalsuite.data import example_sha256, examples_sha256
from evalsuite.metrics import Answer
from evalsuite.predictions import PredictionStore, Run, folder
from truemark import artifacts
from truemark.chat import read_template
from truemark.errors import InvalidData, TruemarkError
from truemark.files import sha256_json, write_json, write_jsonl
from truemark.models import ALIASES, ModelRef
from truemark.runtimes.base import Sampling

EXAMPLES = "examples.jsonl"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Model(_Strict):
    """What was evaluated, as far as a reader of the scores must know it."""

    ref: str
    label: str
    name: str
    kind: str
    """Kind of the reference: checkpoint, adapter, gguf, lora-gguf, openai, rule."""
    format: str
    """`peft`, `fp16`, `gguf-q8_0`, …; the kind where there is no manifest."""
    sha256: str
    base: str | None = None
    """Reference of the base an adapter or export stands on."""
    base_sha256: str | None = None
    """`sha256` of that base; None where it is not on this machine."""
    embedded: bool = False
    """Whether it is, or stands on, a de-quantized embedded base."""
    mark: str | None = None
    """State of the artifact's `mark.json` (`passed`, `undecided`, `failed`); None without one."""
    failed: bool = False
    """An export that was kept although its mark failed."""
    adapter_sha256: str | None = None
    """Of an adapter its own hash, of an export that of the adapter it was made from."""
    template_sha256: str | None = None
    """Hash of the chat template; None where it is out of sight."""

    @classmethod
    def of(cls, model: ModelRef, sha256: str, base_sha256: str | None) -> Model:
        """Describe a resolved reference."""
        if model.artifact is None:
            return cls(
                ref=model.text,
                label=model.label,
                # the last part of a path: where it lies on this machine is no reader's business
                name=model.path.name if model.path and model.kind == "gguf" else model.text,
                kind=model.kind,
                format=model.kind,
                sha256=sha256,
                embedded=model.embedded is not None,
                template_sha256=template_sha256(model.path),
            )
        manifest = model.artifact.manifest
        state = mark_state(model.artifact.path)
        return cls(
            ref=model.text,
            label=model.label,
            name=manifest.name,
            kind=model.kind,
            format=manifest.format,
            sha256=sha256,
            base=manifest.base.ref,
            base_sha256=base_sha256,
            embedded=manifest.base.ref in ALIASES,
            mark=state,
            failed=manifest.failed or state == "failed",
            adapter_sha256=model.artifact.sha
            if manifest.kind == "adapter"
            else next((parent.sha256 for parent in manifest.parents), None),
            template_sha256=template_sha256(model.artifact.path),
        )


class CheckedAnswer(_Strict):
    """The verdict on one answer."""

    id: str
    score: float
    passed: bool
    reason: str
    detail: dict[str, Any] = Field(default_factory=dict)


class Evaluation(_Strict):
    """One model on one test set."""

    schema_version: Literal[1] = 1
    domain: str
    model: Model
    engine: str
    engine_sha256: str
    sampling: dict[str, Any]
    system: str
    examples_sha256: str
    limit: int | None
    """Size of the sample, when not the whole test set was used."""
    created: str
    machine: str
    libraries: dict[str, str]
    verdicts: list[CheckedAnswer]
    """In the order of the examples that have an answer."""
    unanswered: dict[str, str] = Field(default_factory=dict)
    """Example id → why an endpoint gave no answer. These are in no number."""
    contamination: Contamination = Contamination("unknown")
    """What is known of the training data."""
    also: str = ""
    """The further set of examples that was asked; empty for the test set."""
    canary: Literal["matched", "absent", "unasked"] = "unasked"
    """Whether the model said what its manifest keeps of the adapter; `absent` where the manifest keeps nothing, `unasked` for what is no artifact."""

    @property
    def run(self) -> Run:
        """The run whose predictions were scored."""
        sampling = Sampling(**{**self.sampling, "stop": tuple(self.sampling["stop"])})
        model = self.model
        return Run(self.domain, model.ref, model.label, model.sha256, self.engine, sampling, self.system, self.also)


class Evaluations:
    """The evaluations of one domain on one test set, under `results/DOMAIN/scores/<sha12>/`; or on a further set, under its folder."""

    def __init__(self, results: Path, domain: str, sha256: str, also: str = "") -> None:
        self.results, self.domain, self.sha256, self.also = results, domain, sha256, also
        self.path = folder(results, domain, also) / "scores" / sha256[:12]

    def write(
        self,
        run: Run,
        model: Model,
        examples: list[Example],
        verdicts: list[Verdict],
        *,
        engine_sha256: str,
        limit: int | None,
        unanswered: dict[str, str] | None = None,
        contamination: Contamination | None = None,
        canary: Literal["matched", "absent", "unasked"] = "unasked",
    ) -> Evaluation:
        """Save verdicts (one per example that is not `unanswered`, in order) and the test set they belong to."""
        unanswered = unanswered or {}
        evaluation = Evaluation(
            domain=self.domain,
            model=model,
            engine=run.engine,
            engine_sha256=engine_sha256,
            sampling={**vars(run.sampling), "stop": list(run.sampling.stop)},
            system=run.system,
            examples_sha256=self.sha256,
            limit=limit,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=artifacts.machine(),
            libraries=artifacts.library_versions(),
            verdicts=[
                CheckedAnswer(id=example["id"], **verdict.to_json())
                for example, verdict in zip(_answered(examples, unanswered), verdicts, strict=True)
            ],
            unanswered=unanswered,
            contamination=contamination or Contamination("unknown"),
            also=self.also,
            canary=canary,
        )
        if not (self.path / EXAMPLES).is_file():
            write_jsonl(self.path / EXAMPLES, [dict(example) for example in examples])
        write_json(self.path / f"{run.stem}.json", evaluation.model_dump())
        return evaluation

    def forget(self, run: Run) -> None:
        """Remove a run's scores, once they are known to be wrong."""
        (self.path / f"{run.stem}.json").unlink(missing_ok=True)

    def read(self) -> list[Evaluation]:
        """All evaluations in this folder, the oldest first. Raises InvalidData for a file that is not one."""
        found = []
        for file in sorted(self.path.glob("*.json")):
            try:
                evaluation = Evaluation.model_validate_json(file.read_bytes())
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"]) or "file"
                raise InvalidData(
                    f"{file} is not an evaluation: {where}: {first['msg']}", mend=f"remove it, then {self._again()}"
                ) from None
            if (evaluation.domain, evaluation.examples_sha256, evaluation.also) != (
                self.domain,
                self.sha256,
                self.also,
            ):
                raise InvalidData(
                    f"{file} belongs to another test set ({evaluation.domain} {evaluation.examples_sha256[:12]})",
                    mend=f"remove it, then {self._again()}",
                )
            found.append(evaluation)
        return sorted(found, key=lambda evaluation: evaluation.created)

    def examples(self) -> list[Example]:
        """The test set. Raises InvalidData when it is not the one these evaluations were made on."""
        examples = read_examples(self.path / EXAMPLES, self.domain)
        found = examples_sha256(examples)
        if found != self.sha256:
            raise InvalidData(
                f"{self.path / EXAMPLES} was changed: its hash is {found[:12]}, expected {self.sha256[:12]}",
                mend=f"remove it, then {self._again()}",
            )
        return examples

    def answers(self, evaluation: Evaluation, examples: list[Example]) -> list[Answer]:
        """Example, prediction and verdict together. Raises InvalidData when a scored prediction is gone."""
        store = PredictionStore(self.results, evaluation.run)
        predictions = store.read()
        joined = []
        for example, checked in zip(_answered(examples, evaluation.unanswered), evaluation.verdicts, strict=True):
            row = predictions.get(example_sha256(example))
            if row is None or checked.id != example["id"]:
                raise InvalidData(
                    f"{store.path} has no answer of {evaluation.model.label} to '{example['id']}', which has a score",
                    mend=self._again(),
                )
            joined.append(Answer(example, row, Verdict(**checked.model_dump(exclude={"id"}))))
        return joined

    def _again(self) -> str:
        return f"truemark eval {self.domain} --model REF" + (f" --also {self.also}" if self.also else "")


def _answered(examples: list[Example], unanswered: dict[str, str]) -> list[Example]:
    return [example for example in examples if example["id"] not in unanswered]


def caveats(evaluation: Evaluation) -> list[str]:
    """What a reader of the scores must know beside them: questions left out, and training data."""
    notes = []
    label, left_out, found = evaluation.model.label, len(evaluation.unanswered), evaluation.contamination
    if left_out:
        n = len(evaluation.verdicts) + left_out
        passed = sum(verdict.passed for verdict in evaluation.verdicts)
        notes.append(
            f"{label}: {left_out} of {n} questions have no answer and are in no number; with them the accuracy would be "
            f"{100 * passed / n:.1f} % (all wrong) to {100 * (passed + left_out) / n:.1f} % (all right). The same command asks them again."
        )
    if found.state == "contaminated":
        notes.append(
            f"{label} was trained on {found.examples} of the test examples: its score is CONTAMINATED ({found.first})."
        )
    return notes


def test_sets(results: Path, domain: str, also: str = "") -> list[Evaluations]:
    """The test sets of a domain (or the versions of a further set) that have evaluations: whole ones before samples, then the most recent first."""
    found = []
    for path in (folder(results, domain, also) / "scores").glob("*"):
        first = next(iter(path.glob("*.json")), None)
        if first is None:
            continue
        try:
            sha = Evaluation.model_validate_json(first.read_bytes()).examples_sha256
        except ValidationError:
            sha = path.name  # `read` names the file
        evaluations = Evaluations(results, domain, sha, also)
        rows = evaluations.read()
        found.append(((all(row.limit is None for row in rows), max(row.created for row in rows)), evaluations))
    return [evaluations for _, evaluations in sorted(found, key=lambda item: item[0], reverse=True)]


def write_engine(results: Path, domain: str, description: dict[str, Any]) -> str:
    """Keep how an engine describes itself, by content; returns its hash."""
    sha = sha256_json(description)
    path = _engine_path(results, domain, sha)
    if not path.is_file():
        write_json(path, description)
    return sha


def read_engine(results: Path, domain: str, sha256: str) -> dict[str, Any]:
    """An engine's description; empty where it is gone."""
    import json

    try:
        found = json.loads(_engine_path(results, domain, sha256).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def template_sha256(path: Path | None) -> str | None:
    """Hash of the chat template saved in a model's directory; None where there is none to read."""
    if path is None or not path.is_dir():
        return None
    try:
        return hashlib.sha256(read_template(path).encode()).hexdigest()
    except (TruemarkError, OSError, ValueError):
        return None


def mark_state(path: Path) -> str | None:
    """What the `mark.json` in an artifact says; None where there is none or it says nothing."""
    import json

    try:
        mark = json.loads((path / "mark.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    verdict = mark.get("verdict") if isinstance(mark, dict) else None
    state = verdict.get("state") if isinstance(verdict, dict) else None
    return state if state in ("passed", "undecided", "failed") else None


def _engine_path(results: Path, domain: str, sha256: str) -> Path:
    return results / domain / "engines" / f"{sha256[:12]}.json"

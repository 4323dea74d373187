"""The tasks of lm-evaluation-harness on our models (https://github.com/EleutherAI/lm-evaluation-harness, 0.4.13; our domains as its tasks: domains/lm_eval.py).

    results/math/harness/<model>-<sha12>.json     what one run of it said: a row per task, metric and filter, and how it was asked

It runs in a process of its own, from this environment or from the one whose Python TRUEMARK_LM_EVAL names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import domains
from evalsuite.evaluations import Model
from evalsuite.plain import Plain
from evalsuite.statistics import Interval
from evalsuite.statistics.interval import Z95
from truemark import artifacts
from truemark.console import say
from truemark.errors import EngineError, InvalidData, MissingDependency, ModelNotFound
from truemark.files import sha256_json, write_json
from truemark.models import ModelRef, resolve
from truemark.settings import endpoint_url, threads

PYTHON = "TRUEMARK_LM_EVAL"
"""Environment variable: the Python that has lm_eval, where this one has not."""
_TASK_NAME = re.compile(r"[A-Za-z0-9_\-]+")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HarnessRow(_Strict):
    """One metric of one task."""

    task: str
    metric: str
    filter: str
    """What lm_eval did to an answer before it was scored; `none` for nothing."""
    value: float
    stderr: float | None
    """Standard error, as lm_eval estimates it; None where it does not."""
    n: int
    shots: int
    version: str
    """Of the task."""
    better: Literal["higher", "lower"]


class HarnessRun(_Strict):
    """One model on some tasks, with what must be known to repeat it."""

    schema_version: Literal[1] = 1
    domain: str
    model: Model
    lm_eval: str
    command: str
    limit: int | None
    created: str
    machine: str
    libraries: dict[str, str]
    rows: list[HarnessRow]


def python() -> str:
    """The interpreter that has lm_eval. Raises MissingDependency naming the extra."""
    if other := os.environ.get(PYTHON):
        return other
    if importlib.util.find_spec("lm_eval") is None:
        raise MissingDependency.extra("lm_eval", "harness")
    return sys.executable


def evaluate(
    domain: str,
    refs: Sequence[str],
    tasks: Sequence[str],
    results: Path,
    limit: int | None,
    include: Path | None,
    *,
    as_json: bool,
) -> str:
    """Each model on the tasks; what a terminal shows, or the rows as JSON. Raises what `run` does."""
    from evalsuite.run import model_of

    domains.get(domain)
    found = [
        run(ref, model_of(ref), domain, tasks, results, limit=limit, include=include) for ref in map(resolve, refs)
    ]
    return json.dumps([one.model_dump() for one in found], indent=2) if as_json else table(found)


def run(
    ref: ModelRef,
    model: Model,
    domain: str,
    tasks: Sequence[str],
    results: Path,
    *,
    limit: int | None = None,
    include: Path | None = None,
) -> HarnessRun:
    """Ask lm_eval for `tasks` (its own names, or those of YAML files under `include`); what is at hand is not asked again.

    Raises InvalidData for a name that is no task's, ModelNotFound for a reference that lm_eval cannot open, EngineError when it fails.
    """
    for task in tasks:
        if not _TASK_NAME.fullmatch(task):
            raise InvalidData(f"expected the name of an lm_eval task, found {task[:60]!r}", mend="lm_eval ls tasks")
    words = [*_model_words(ref), "--tasks", ",".join(tasks), "--apply_chat_template"]
    words += ["--limit", str(limit)] if limit else []
    words += ["--include_path", str(include)] if include else []
    path = results / domain / "harness" / f"{_readable(model.label)}-{_address(model, words, include)}.json"
    if path.is_file():
        say(f"{model.label}: {path} is at hand")
        return read_run(path)
    told = _call([python(), "-m", "lm_eval", "run", *words])
    found = HarnessRun(
        domain=domain,
        model=model,
        lm_eval=str(told.get("lm_eval_version", "unknown")),
        command=shlex.join(["lm_eval", "run", *(word.replace(str(Path.home()), "~") for word in words)]),
        limit=limit,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=artifacts.machine(),
        libraries=artifacts.library_versions(),
        rows=list(_rows(told)),
    )  # fmt: skip
    write_json(path, found.model_dump())
    return found


def runs(results: Path, domain: str) -> list[HarnessRun]:
    """All runs of a domain's models, the oldest first. Raises InvalidData for a file that is none."""
    found = [read_run(path) for path in sorted((results / domain / "harness").glob("*.json"))]
    return sorted(found, key=lambda one: one.created)


def read_run(path: Path) -> HarnessRun:
    """One file. Raises InvalidData where it is no such run."""
    try:
        return HarnessRun.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise InvalidData(f"{path} is no run of lm_eval: {where}: {first['msg']}", mend=f"remove {path}") from None


def latest(found: Sequence[HarnessRun]) -> list[HarnessRun]:
    """Of runs that asked a model under the same reference the same, the last."""
    by_name = {(one.model.ref, one.command): one for one in found}
    return [one for one in found if by_name[one.model.ref, one.command] is one]


def to_json(one: HarnessRun) -> dict[str, Any]:
    """As in `leaderboard.json`."""
    return {
        "ref": one.model.ref,
        "label": one.model.label,
        "sha256": one.model.sha256,
        "lm_eval": one.lm_eval,
        "command": one.command,
        "limit": one.limit,
        "date": one.created,
        "machine": one.machine,
        "tasks": [
            {**row.model_dump(), "interval": None if (bounds := _interval(row)) is None else bounds.to_json()}
            for row in one.rows
        ],
    }


def plain(found: Sequence[HarnessRun]) -> Plain:
    """All runs as one table of words, task by task."""
    rows = [
        [
            row.task,
            row.metric + ("" if row.filter == "none" else f", {row.filter}") + (" ↓" if row.better == "lower" else ""),
            one.model.label,
            f"{row.value:.3f}" + (f" [{bounds.low:.3f}, {bounds.high:.3f}]" if (bounds := _interval(row)) else ""),
            str(row.n),
            str(row.shots),
            f"lm_eval {one.lm_eval}, task {row.version}" + (f", --limit {one.limit}" if one.limit else ""),
        ]
        for one in found
        for row in one.rows
    ]
    about = "its own tasks and scores; not compared with the rows above, nor corrected"
    heads = ["task", "metric", "model", "value [95 % CI]", "n", "shots", "by"]
    notes = [f"{one.model.label}: {one.command}" for one in found]
    return Plain("lm-evaluation-harness", about, heads, sorted(rows, key=lambda cells: cells[:3]), notes)


def _interval(row: HarnessRow) -> Interval | None:
    if row.stderr is None:
        return None
    return Interval(row.value - Z95 * row.stderr, row.value + Z95 * row.stderr, "normal, by lm_eval's standard error")


def table(found: Sequence[HarnessRun]) -> str:
    """Plain lines for a terminal: value ± 1.96 standard errors."""
    lines = []
    for one in found:
        for row in one.rows:
            spread = "" if row.stderr is None else f" ± {1.96 * row.stderr:.3f}"
            lines.append(f"{row.task:24}  {row.metric + (',' + row.filter if row.filter != 'none' else ''):22}  {row.value:.3f}{spread}  n {row.n}  {one.model.label}")  # fmt: skip
    return "\n".join(sorted(lines))


def _model_words(ref: ModelRef) -> list[str]:
    """`--model` and `--model_args` of lm_eval."""
    import torch

    if ref.kind == "openai":
        url = endpoint_url().rstrip("/")
        return [
            "--model",
            "local-chat-completions",
            "--model_args",
            f"model={ref.target},base_url={url}/chat/completions,tokenized_requests=False",
        ]
    if ref.kind not in ("checkpoint", "adapter"):
        raise ModelNotFound(
            f"lm_eval cannot open {ref.kind} ('{ref.text}')",
            mend=f"truemark serve --adapter NAME={ref.text}, then --model openai:NAME",
        )
    base = ref.base().local_path() if ref.kind == "adapter" else ref.local_path()
    args = f"pretrained={base},dtype=float32"
    if ref.kind == "adapter":  # its tokenizer's template brings the domain's prompt, as everywhere
        args += f",peft={ref.local_path()},tokenizer={ref.local_path()}"
    return [
        "--model",
        "hf",
        "--model_args",
        args,
        "--device",
        "cuda:0" if torch.cuda.is_available() else "cpu",
        "--batch_size",
        "16",
    ]


def _address(model: Model, words: Sequence[str], include: Path | None) -> str:
    """By content: model, tasks and settings, and the files of tasks of one's own."""
    files = (
        sorted(file for file in include.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        if include
        else []
    )
    return sha256_json(
        {
            "model": model.sha256,
            "words": [word for word in words if "=" not in word],
            "files": [file.read_text(encoding="utf-8") for file in files],
        }
    )[:12]


def _call(words: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="truemark-lm-eval-") as folder:
        # an interpreter elsewhere must find this checkout too: the tasks we write call its checks
        paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "OMP_NUM_THREADS": str(threads()),
            "TOKENIZERS_PARALLELISM": "false",
        }
        environment.setdefault("OPENAI_API_KEY", "none")
        done = subprocess.run(
            [*words, "--output_path", folder],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        files = sorted(Path(folder).rglob("results_*.json"))
        if done.returncode or not files:
            last = "\n".join(done.stdout.strip().splitlines()[-4:])
            raise EngineError(f"lm_eval ended with {done.returncode}:\n{last}", mend=shlex.join(words))
        content = json.loads(files[-1].read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _rows(told: dict[str, Any]) -> Any:
    """Rows of `results`, whose keys are `METRIC,FILTER` and `METRIC_stderr,FILTER`."""
    for task, values in told.get("results", {}).items():
        n = told.get("n-samples", {}).get(task, {})
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = values.get(f"{metric}_stderr,{filtered}")
            higher = told.get("higher_is_better", {}).get(task, {}).get(metric, True)
            yield HarnessRow(
                task=task, metric=metric, filter=filtered, value=float(value), stderr=float(error) if isinstance(error, int | float) else None,
                n=int(n.get("effective", n.get("original", 0))), shots=int(told.get("n-shot", {}).get(task, 0)),
                version=str(told.get("versions", {}).get(task, "")), better="lower" if higher is False else "higher",
            )  # fmt: skip


def _readable(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", label).strip("-.")[:80]

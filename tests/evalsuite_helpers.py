"""A toy domain and a toy runtime, for tests of the evalsuite in which neither is the point.

The domain asks for sums. The runtime opens a directory that says how often its answers are right.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import domains
from domains.base import Card, Example, Verdict
from truemark import artifacts, runtimes
from truemark.files import write_jsonl
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Sampling

NAME = "toy"
SYSTEM_PROMPT = "Add the numbers."
REASONS = {"ok": "right", "wrong_value": "another number", "unparsable": "no number"}
SLICES = {"numbers": "trained wordings, new numbers", "wording": "wordings never trained on"}
CARD = Card("Sums", "Adds two numbers.", ("1 + 1",))
METRICS = ("accuracy", "exact_match", "tokens_per_second")
RUNTIME = "toy"


def check(prediction: str, example: Example) -> Verdict:
    found = re.search(r"-?\d+", prediction)
    if found is None:
        return Verdict(0.0, False, "unparsable", {"message": "no number in the answer"})
    passed = found[0] == example["reference"]
    return Verdict(float(passed), passed, "ok" if passed else "wrong_value", {"message": f"found {found[0]}"})


def examples(n: int) -> list[Example]:
    return [
        {
            "id": f"toy-{i}",
            "messages": [{"role": "user", "content": f"{i} + {i}"}, {"role": "assistant", "content": str(2 * i)}],
            "reference": str(2 * i),
            "meta": {"slice": ("numbers", "wording")[i % 2], "family": f"f{i % 6}"},
        }
        for i in range(n)
    ]


class ToyRuntime:
    """Answers rightly at a fixed rate. `skill.json` in the model's directory: rate, seed, delay (s), fail_at."""

    name = RUNTIME

    def __init__(self, model: ModelRef) -> None:
        self.skill: dict[str, Any] = json.loads((model.local_path() / "skill.json").read_text())
        if self.skill.get("broken"):
            raise RuntimeError("size mismatch for lm_head.weight")

    def generate(self, prompts: Sequence[Any], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for index, messages in reversed(list(enumerate(prompts))):
            time.sleep(self.skill.get("delay", 0.0))
            if self.skill.get("fail_at") == index:
                raise RuntimeError("out of memory")
            yield index, self._answer(messages[-1]["content"])

    def _answer(self, question: str) -> Completion:
        draw = int(hashlib.sha256(f"{self.skill.get('seed', 0)}{question}".encode()).hexdigest()[:8], 16) / 2**32
        right = str(2 * int(question.split(maxsplit=1)[0]))
        text = self.skill.get("text") or (right if draw < self.skill["rate"] else "I am not sure")
        sha = hashlib.sha256(question.encode()).hexdigest()
        return Completion(text, "stop", tuple(range(len(text))), 5, sha, 0.01)

    def describe(self) -> dict[str, Any]:
        return {"engine": "toy", "version": "1"}

    def close(self) -> None:
        pass

    def __enter__(self) -> ToyRuntime:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def install() -> None:
    """Add the toy rows to the tables (in a subprocess; tests do it with monkeypatch)."""
    domains.DOMAINS[NAME] = __name__
    runtimes.RUNTIMES[RUNTIME] = f"{__name__}:ToyRuntime"


def write_data(path: Path, n: int = 40) -> Path:
    write_jsonl(path, [dict(example) for example in examples(n)])
    return path


def checkpoint(path: Path, **skill: Any) -> Path:
    """A base model's directory."""
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(path.name.encode())
    (path / "skill.json").write_text(json.dumps(skill))
    return path


def adapter(path: Path, base: Path, **skill: Any) -> Path:
    """An adapter artifact on `base`."""
    from truemark.models import describe_base, resolve

    about = describe_base(resolve(base))
    with artifacts.create(path, kind="adapter", name=path.name, domain=NAME, format="peft", base=about) as draft:
        (draft.path / "adapter_model.safetensors").write_bytes(json.dumps(skill).encode())
        (draft.path / "skill.json").write_text(json.dumps(skill))
    return path

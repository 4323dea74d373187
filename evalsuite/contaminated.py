"""Was a model trained on what it is asked? The test set against the training data that the artifact's manifest names by hash.

The manifest holds no path: the file is looked for by its hash among the data on this machine, for the artifact and for the adapters it
was trained on from. Where one of them is not found, nothing is said to be clean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from domains.base import Example
from domains.contamination import Finding, overlap
from truemark import artifacts
from truemark.artifacts import Artifact
from truemark.errors import CheckFailed, InvalidArtifact, ModelNotFound
from truemark.files import read_jsonl, sha256_file
from truemark.models import ModelRef

State = Literal["clean", "contaminated", "unknown"]


@dataclass(frozen=True)
class Contamination:
    """What is known of one model and one test set."""

    state: State
    """`clean`: all training data was found, and none of it is in the test set. `unknown`: some was not found, or none is named."""
    examples: int = 0
    """Test examples that are in the training data."""
    kinds: dict[str, int] = field(default_factory=dict)
    """`exact`, `normalised`, `13-gram` → test examples."""
    first: str = ""
    """One of them, in words."""

    def refuse(self, label: str, n: int) -> None:
        """Raise CheckFailed where it is contaminated."""
        if self.state == "contaminated":
            raise CheckFailed(
                f"{label} was trained on {self.examples} of the {n} test examples "
                f"({', '.join(f'{count} {kind}' for kind, count in self.kinds.items())}; {self.first}): its score would say nothing",
                mend="truemark data check DOMAIN   (or --allow-contaminated: the score is then marked wherever it appears)",
            )


class TrainingData:
    """The data files around a test set, by hash; each is read once."""

    def __init__(self, test_set: Path, domain: str) -> None:
        folders = (test_set.parent, test_set.parent.parent / domain, Path("data") / domain, Path("data"))
        self._domain, self._folders = domain, list(dict.fromkeys(folder.absolute() for folder in folders))
        self._files = [file for folder in self._folders for file in sorted(folder.glob("*.jsonl")) if file.absolute() != test_set.absolute()]  # fmt: skip
        self._by_sha: dict[str, Path] | None = None
        self._found: dict[tuple[str, ...], Contamination] = {}

    def check(self, ref: ModelRef, examples: Sequence[Example]) -> Contamination:
        """Compare `examples` with what `ref` was trained on. Raises InvalidData for a training file that cannot be read."""
        if ref.artifact is None:
            return Contamination("unknown")
        named = list(_data_of(ref.artifact))
        shas = tuple(sorted({sha for sha in named if sha}))
        if shas not in self._found:
            self._found[shas] = self._compare([self._file(sha) for sha in shas], examples)
        found = self._found[shas]
        complete = bool(named) and None not in named
        return found if complete or found.state == "contaminated" else Contamination("unknown")

    def file(self, named: str = "") -> Path:
        """The training file that is `named`, else `train.jsonl` beside the test set or in the domain's data. Raises ModelNotFound."""
        places = [Path(named)] if named else [folder / "train.jsonl" for folder in self._folders]
        for place in places:
            if place.is_file():
                return place
        raise ModelNotFound(
            f"rule:nearest answers from training examples, and there are none at {' or '.join(map(str, places[:2]))}",
            mend=f"truemark data build {self._domain}, or name a file: rule:nearest:FILE",
        )

    def compare(self, training: Path, examples: Sequence[Example]) -> Contamination:
        """The same of one known file."""
        return self._compare([training], examples)

    def _compare(self, files: Sequence[Path | None], examples: Sequence[Example]) -> Contamination:
        rows = [_example(row, number) for file in files if file for number, row in enumerate(read_jsonl(file))]
        findings: list[Finding] = list(overlap(rows, examples)) if rows else []
        if findings:
            first = findings[0]
            words = f"{first.left.removeprefix('test:')} is {first.right}: {first.shared[:80]!r}"
            return Contamination("contaminated", len(findings), dict(Counter(f.kind for f in findings)), words)
        return Contamination("clean" if files and None not in files else "unknown")

    def _file(self, sha256: str) -> Path | None:
        if self._by_sha is None:
            self._by_sha = {sha256_file(file): file for file in reversed(self._files)}
        return self._by_sha.get(sha256)


def _data_of(artifact: Artifact) -> Iterator[str | None]:
    """Hashes of the training files of an artifact and of all it was made from; None for one that is not known."""
    manifest = artifact.manifest
    yield manifest.data_sha256
    for parent in manifest.parents:
        path = Path(parent.path)
        path = path if path.is_absolute() else artifact.path.parent / path
        try:
            made_from = artifacts.open_artifact(path, verify=False)
        except InvalidArtifact:
            yield None  # it may stand on a further one, which nothing here tells
            continue
        if made_from.sha == parent.sha256:
            yield from _data_of(made_from)
        else:
            yield None


def _example(row: dict[str, Any], number: int) -> Example:
    """A row of training data as an example: pairs and plain prompts have no `messages`."""
    messages = row.get("messages", row.get("prompt"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    kept = [m for m in messages if isinstance(m, dict) and isinstance(m.get("content"), str) and "role" in m] if isinstance(messages, list) else []  # fmt: skip
    return cast("Example", {"id": str(row.get("id", number)), "messages": kept, "reference": "", "meta": {}})

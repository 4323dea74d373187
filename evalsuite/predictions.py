"""The prediction store: one append-only JSONL file per (domain, model weights, engine, sampling), addressed by content.

    store = PredictionStore(Path("results"), run)
    with store.appending() as (done, append):
        for example in examples if example_sha256(example) not in done: append(Prediction.of(...))

A row is one answer to one example. What has been answered is never asked again: an interrupted run (Ctrl-C,
kill -9, a last line cut in half) continues where it stopped, and a repeated run asks nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from truemark.console import say
from truemark.errors import InvalidData, TruemarkError
from truemark.files import sha256_json, storage_errors
from truemark.runtimes.base import Completion, Sampling


@dataclass(frozen=True)
class Run:
    """Who answers, and how. With an example this addresses a prediction."""

    domain: str
    ref: str
    """The reference as the user wrote it; a name, not part of the address."""
    label: str
    """The artifact's id, else the reference; a name, not part of the address."""
    model_sha256: str
    """Hash of the weights, tokenizer and template, or of the endpoint and name where the weights are out of sight."""
    engine: str
    """The row in RUNTIMES."""
    sampling: Sampling
    system: str = ""
    """System prompt that is sent along; empty where the model's own template brings one."""
    also: str = ""
    """The set of examples beyond the test set (a row of evalsuite.sets.SETS, or `canary`); empty for the test set."""

    @cached_property
    def sha256(self) -> str:
        """The address of all this run's predictions."""
        return sha256_json(
            {
                "domain": self.domain,
                "model": self.model_sha256,
                "engine": self.engine,
                "sampling": asdict(self.sampling),
                "system": self.system,
                **({"also": self.also} if self.also else {}),
            }
        )

    def folder(self, results: Path) -> Path:
        """Where everything of the domain's test set, or of the further set, lies under `results`."""
        return folder(results, self.domain, self.also)

    @property
    def stem(self) -> str:
        """File name without suffix: readable, and unique by content."""
        readable = re.sub(r"[^A-Za-z0-9._@-]+", "-", f"{self.label}-{self.engine}").strip("-.")[:80]
        return f"{readable}-{self.sha256[:12]}"

    def key(self, example_sha256: str) -> str:
        """Address of the answer to one example."""
        return sha256_json([self.sha256, example_sha256])


def folder(results: Path, domain: str, also: str = "") -> Path:
    """`results/DOMAIN`, or `results/DOMAIN/also/SET`."""
    return results / domain / "also" / also if also else results / domain


class Prediction(BaseModel):
    """One row: one answer to one example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    """`Run.key`: the address of this row."""
    id: str
    """The example's id."""
    example_sha256: str
    ref: str
    label: str
    model_sha256: str
    engine: str
    engine_sha256: str
    """Hash of the runtime's own description, kept whole in `engines/`."""
    sampling: dict[str, Any]
    prompt_sha256: str
    """Hash of the prompt's token ids, by the runtime."""
    prompt_tokens: int
    text: str
    finish_reason: str
    tokens: int | None
    """Tokens generated; None where the engine does not tell."""
    seconds: float
    confidence: float | None = None
    """`Completion.confidence`; None where the engine does not tell."""

    @classmethod
    def of(cls, run: Run, id: str, example_sha256: str, engine_sha256: str, completion: Completion) -> Prediction:
        """The row of one completion. A lone surrogate in the text, which no UTF-8 file can hold, becomes `?`."""
        return cls(
            key=run.key(example_sha256),
            id=id,
            example_sha256=example_sha256,
            ref=run.ref,
            label=run.label,
            model_sha256=run.model_sha256,
            engine=run.engine,
            engine_sha256=engine_sha256,
            sampling=asdict(run.sampling),
            prompt_sha256=completion.prompt_sha256,
            prompt_tokens=completion.prompt_tokens,
            text=completion.text.encode("utf-8", "replace").decode("utf-8"),
            finish_reason=completion.finish_reason,
            tokens=len(completion.token_ids) or completion.completion_tokens,
            seconds=round(completion.seconds, 4),
            confidence=None if completion.confidence is None else round(completion.confidence, 6),
        )


class PredictionStore:
    """The predictions of one run under `results/DOMAIN/predictions/`."""

    def __init__(self, results: Path, run: Run) -> None:
        self.run = run
        folder = run.folder(results) / "predictions"
        # by content, so that the same model under another spelling of its reference is the same run
        known = sorted(folder.glob(f"*-{run.sha256[:12]}.jsonl"))
        self.path = known[0] if known else folder / f"{run.stem}.jsonl"

    def read(self) -> dict[str, Prediction]:
        """Predictions by example hash, in the order they were written; a cut last line is left out.

        Raises InvalidData naming the line of a row that is not one, is of another run, or contradicts an earlier one.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InvalidData(f"cannot read {self.path}: {error.strerror}") from None
        *lines, tail = content.split(b"\n")
        if _row(tail) is not None:
            lines.append(tail)
        found: dict[str, Prediction] = {}
        for number, line in enumerate(lines, 1):
            self._add(found, number, line)
        return found

    def _add(self, found: dict[str, Prediction], number: int, line: bytes) -> None:
        where = f"{self.path}:{number}"
        row = _row(line)
        if row is None:
            raise InvalidData(
                f"{where}: expected a prediction, found {line[:60].decode(errors='replace')!r}",
                mend=f"sed -i {number}d {self.path}   (its example is then asked again)",
            )
        if row.key != self.run.key(row.example_sha256):
            raise InvalidData(
                f"{where}: a prediction of {row.label} ({row.engine}), expected only those of {self.run.label} "
                f"({self.run.engine}) with the model, prompt and sampling asked for",
                mend=f"remove {self.path}, then run the same command",
            )
        earlier = found.setdefault(row.example_sha256, row)
        if earlier.text != row.text:
            raise InvalidData(
                f"{where}: a second, different answer to '{row.id}'",
                mend=f"sed -i {number}d {self.path}   (keeps the first)",
            )

    def forget(self) -> None:
        """Remove what is stored, once it is known to be wrong."""
        self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def appending(self) -> Iterator[tuple[dict[str, Prediction], Callable[[Prediction], None]]]:
        """Yield (what is there, `append`) while holding the file alone. Mends a last line that was cut, and says so.

        Raises TruemarkError when another process is writing the same predictions, StorageError on a full disk.
        """
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                self._lock(descriptor)
                self._mend_tail(descriptor)

                def append(row: Prediction) -> None:
                    line = (row.model_dump_json() + "\n").encode()
                    with storage_errors(self.path):
                        while line:
                            line = line[os.write(descriptor, line) :]

                yield self.read(), append
            finally:
                os.fsync(descriptor)
                os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TruemarkError(
                f"another process is writing {self.path}", mend="wait for it to end, then run the same command"
            ) from None

    def _mend_tail(self, descriptor: int) -> None:
        content = self.path.read_bytes()
        tail = content.rpartition(b"\n")[2]
        if not tail:
            return
        if _row(tail) is not None:  # whole but for its newline
            os.write(descriptor, b"\n")
            return
        os.ftruncate(descriptor, len(content) - len(tail))
        say(f"{self.path}: the last line was cut by an interruption; removed, its example is asked again")


def _row(line: bytes) -> Prediction | None:
    try:
        return Prediction.model_validate(json.loads(line))
    except (ValueError, RecursionError, ValidationError):
        return None

"""Metrics over answers: many or few, in memory or in files, in one process or several, always with the same numbers.

    measured = measure(["bleu", "meteor"], answers)
    measured.estimates["bleu"].value, measured.values["bleu"], measured.errors["meteor"]

Answers are taken in chunks of CHUNK; of each a metric keeps what its `condense` leaves, which for most is one row of sums. So the time is linear
and the memory that of a chunk, of a float per answer and metric (`values`), and of the index of the predictions file. The chunks are the same
whatever the number of processes, and are summed in order: so is the result, to the last bit.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np

import domains
from domains.base import Example, Verdict
from domains.examples import refuse_bad_row
from evalsuite import executor as executors
from evalsuite import metrics, sets
from evalsuite.data import example_sha256
from evalsuite.executor import Executor
from evalsuite.metrics import Answer, Estimate
from evalsuite.predictions import Prediction
from truemark.errors import InvalidData, TruemarkError

CHUNK = 512
CHECKED = 32
"""Answers that a check of the cluster takes at a time: a solver may need a second for each."""
_ENGINES = {"torch", "llama_cpp", "onnxruntime"}
"""Packages that run threads, which a fork does not take along: a lock that one of them holds is never released."""
T = TypeVar("T")
Load = Callable[[], Sequence[Answer]]
Part = dict[str, tuple[np.ndarray, np.ndarray | None] | TruemarkError]
"""By metric: condensed rows and the answers' values, or why there are none."""


@dataclass(frozen=True)
class Measured:
    """What metrics say of answers."""

    n: int
    estimates: dict[str, Estimate] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    """Float [n] of each metric that has values of single answers, NaN where it does not apply; empty unless asked for."""
    errors: dict[str, TruemarkError] = field(default_factory=dict)
    """Why a metric has no estimate: most often a package that is not installed."""


def measure(
    names: Sequence[str],
    answers: Iterable[Answer],
    *,
    values: bool = True,
    processes: int = 1,
    executor: Executor = "local",
) -> Measured:
    """Score answers by metrics. A metric that fails is in `errors` and costs the others nothing. `executor` ray takes the cluster's processes.

    Raises UnknownName for a metric that there is not.
    """
    loads = (partial(list[Answer], part) for part in _batched(answers))
    return _fold(names, loads, values=values, processes=processes, executor=executor)


def measure_files(
    names: Sequence[str],
    domain: str,
    examples: Path,
    predictions: Path,
    *,
    values: bool = False,
    processes: int = 1,
    executor: Executor = "local",
) -> Measured:
    """Score a predictions file against its test set by the domain's check and metrics, in bounded memory.

    Raises UnknownName, and InvalidData that names the line of a row that is none, of a second, different answer to an example, and of an
    example without an answer.
    """
    domains.get(domain)
    parts = _batched(_joined(examples, predictions))
    loads = (partial(_read, domain, part) for part in parts)
    return _fold(names, loads, values=values, processes=processes, executor=executor)


def verdicts(
    domain: str, also: str, answers: Iterable[tuple[str, Example]], *, executor: Executor = "local"
) -> Iterator[Verdict]:
    """What the domain's check, or that of its further set `also`, says of each text, in order."""
    if executor == "local":
        yield from _judged(domain, also, answers)
        return
    for part in executors.spread(partial(_judge, domain, also), _batched(answers, CHECKED)):
        yield from part


def _judge(domain: str, also: str, answers: Sequence[tuple[str, Example]]) -> list[Verdict]:
    return list(_judged(domain, also, answers))


def _judged(domain: str, also: str, answers: Iterable[tuple[str, Example]]) -> Iterator[Verdict]:
    check = sets.get(also, domain).check if also else domains.get(domain).check
    for text, example in answers:
        yield check(text, example)


def _fold(names: Sequence[str], loads: Iterable[Load], *, values: bool, processes: int, executor: Executor) -> Measured:
    found = {name: metrics.get(name) for name in metrics.names(names)}
    kept: dict[str, np.ndarray] = {}
    each: dict[str, list[np.ndarray]] = {name: [] for name in found}
    errors: dict[str, TruemarkError] = {}
    n = 0
    for size, part in _parts(list(found), loads, values, processes, executor):
        n += size
        for name, result in part.items():
            if isinstance(result, TruemarkError):
                errors.setdefault(name, result)
                continue
            rows, own = result
            kept[name] = found[name].condense(np.concatenate([kept[name], rows])) if name in kept else rows
            if own is not None:
                each[name].append(own)
    measured = Measured(n, errors=errors)
    for name, metric in found.items():
        if name in errors:
            continue
        try:
            rows = kept[name] if name in kept else metric.rows([])
            measured.estimates[name] = metric.estimate(rows)
        except TruemarkError as error:
            errors[name] = error
            continue
        own = metric.each(rows) if values and metric.whole else np.concatenate(each[name]) if each[name] else None
        if own is not None:
            measured.values[name] = own
    return measured


def _parts(
    names: list[str], loads: Iterable[Load], values: bool, processes: int, executor: Executor
) -> Iterator[tuple[int, Part]]:
    """The parts in order. Few are under way at a time, so that a long input is not read into memory."""
    if executor == "ray":
        yield from executors.spread(partial(_part, names, values), loads)
        return
    if processes <= 1:
        for load in loads:
            yield _part(names, values, load)
        return
    with ProcessPoolExecutor(processes, mp_context=_context(names)) as pool:
        waiting: deque[Future[tuple[int, Part]]] = deque()
        for load in loads:
            waiting.append(pool.submit(_part, names, values, load))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _context(names: list[str]) -> Any:
    """Fork where that is safe, after loading what the metrics need, so that no process loads it again; else fresh processes."""
    from multiprocessing import get_context

    if sys.platform != "linux" or _ENGINES & sys.modules.keys():
        return get_context("spawn")
    for name in names:
        with contextlib.suppress(TruemarkError):  # each part will say so
            metrics.get(name).rows([])
    return get_context("spawn" if _ENGINES & sys.modules.keys() else "fork")


def _part(names: list[str], values: bool, load: Load) -> tuple[int, Part]:
    answers = load()
    part: Part = {}
    for name in names:
        metric = metrics.get(name)
        try:
            rows = metric.rows(answers)
            part[name] = metric.condense(rows), metric.each(rows) if values and not metric.whole else None
        except TruemarkError as error:
            part[name] = error
    return len(answers), part


Line = tuple[bytes, bytes]
"""An example and the prediction that answers it, as their files have them."""


def _joined(examples: Path, predictions: Path) -> Iterator[Line]:
    """Every example with its prediction, in the order of the examples; of the predictions only their places are held."""
    with _opened(predictions) as answered, _opened(examples) as test:
        places = _places(predictions, answered)
        for number, line in enumerate(test, 1):
            if not line.strip():
                continue
            place = places.get(_sha(_example(line, f"{examples}:{number}")))
            if place is None:
                raise InvalidData(
                    f"{examples}:{number} has no answer in {predictions}: another test set, or an unfinished run",
                    mend="truemark eval DOMAIN --model REF",
                )
            answered.seek(place)
            yield line, answered.readline()


def _places(path: Path, stream: IO[bytes]) -> dict[bytes, int]:
    """Example's hash → where its prediction begins. A last line that was cut is left out, as in the prediction store."""
    places: dict[bytes, int] = {}
    end = 0
    for number, line in enumerate(stream, 1):
        start, end = end, end + len(line)
        if not line.strip():
            continue
        row = _prediction(line)
        if row is None and not line.endswith(b"\n"):
            break
        if row is None:
            raise InvalidData(
                f"{path}:{number}: expected a prediction, found {line[:60].decode(errors='replace')!r}",
                mend=f"sed -i {number}d {path}   (its example is then asked again)",
            )
        earlier = places.setdefault(bytes.fromhex(row.example_sha256), start)
        if earlier != start:
            stream.seek(earlier)
            first = _prediction(stream.readline())
            stream.seek(end)
            if first is None or first.text != row.text:
                raise InvalidData(
                    f"{path}:{number}: a second, different answer to '{row.id}'",
                    mend=f"sed -i {number}d {path}   (keeps the first)",
                )
    return places


def _read(domain: str, lines: Sequence[Line]) -> list[Answer]:
    room = domains.get(domain)
    answers = []
    for example_line, line in lines:
        example, prediction = json.loads(example_line), Prediction.model_validate_json(line)
        answers.append(Answer(example, prediction, room.check(prediction.text, example)))
    return answers


def _example(line: bytes, where: str) -> Example:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise InvalidData(f"{where}: expected an example, found {line[:60].decode(errors='replace')!r}")
    refuse_bad_row(where, row)
    return cast("Example", row)


def _prediction(line: bytes) -> Prediction | None:
    try:
        row = Prediction.model_validate_json(line)
        bytes.fromhex(row.example_sha256)
    except ValueError:  # pydantic's is one
        return None
    return row


def _sha(example: Example) -> bytes:
    return bytes.fromhex(example_sha256(example))


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidData(f"cannot read {path}: {error.strerror}") from None


def _batched(things: Iterable[T], size: int | None = None) -> Iterator[list[T]]:
    stream = iter(things)
    while part := list(islice(stream, size or CHUNK)):
        yield part

"""Where scoring and the questions to endpoints run: here, or spread over a Ray cluster (`--executor ray`), with the same results in the same order.

Ray (https://docs.ray.io) is the one that RAY_ADDRESS names, else one started on this machine for the command. Its nodes need this version of truemark
and what the metrics need. Nothing is scheduled here: Ray decides what runs where, and a part is what a process would have been given.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar

from truemark.errors import MissingDependency, TruemarkError, UnknownName
from truemark.models import ModelRef
from truemark.runtimes.base import Completion, Prompt, Sampling
from truemark.runtimes.http import HttpRuntime
from truemark.runtimes.retries import Budget, BudgetSpent, NoAnswer, Spending

Executor = Literal["local", "ray"]
EXECUTORS: tuple[Executor, ...] = ("local", "ray")
_TOLD = ("PYTHONPATH", "TRUEMARK_WORDNET", "TRUEMARK_PRICE", "TRUEMARK_CACHE", "HF_HUB_OFFLINE")
"""Environment variables that workers are given: what shapes numbers. Keys travel with the questions alone, as a cluster shows its environment."""
T = TypeVar("T")
R = TypeVar("R")


def named(name: str) -> Executor:
    """An executor by its name. Raises UnknownName, and MissingDependency for Ray where it is not installed."""
    found = next((one for one in EXECUTORS if one == name), None)
    if found is None:
        raise UnknownName("executor", name, EXECUTORS)
    if found == "ray":
        _ray()
    return found


def spread(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map(function, items)` over the cluster, in order; few items are under way at a time, so that a long input is not read into memory.

    What `function` raises is raised here.
    """
    ray = _ray()
    with cluster():
        remote = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(_call).remote
        width = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(remote(function, item))
            if len(waiting) > width:
                yield _told(ray.get(waiting.popleft()))
        while waiting:
            yield _told(ray.get(waiting.popleft()))


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Be connected to the cluster for the block: to one that is, to that of RAY_ADDRESS, or to one that is started here and ends with the block."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    told = {name: os.environ[name] for name in _TOLD if name in os.environ}
    own = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(log_to_driver=False, logging_level="error", runtime_env={"env_vars": told}, **own)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise TruemarkError(
            f"no Ray cluster: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            mend="ray start --head, then RAY_ADDRESS=HOST:6379; or unset RAY_ADDRESS for one on this machine",
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def running(executor: Executor) -> contextlib.AbstractContextManager[None]:
    """The cluster for the length of a command, where there is to be one."""
    return cluster() if executor == "ray" else contextlib.nullcontext()


class RayHttpRuntime(HttpRuntime):
    """An endpoint that is asked from every node of the cluster: as `HttpRuntime`, whose loop of questions runs here and whose tries run there.

    The budget is one for all: its rooms are set aside in one place.
    """

    def __init__(self, model: ModelRef, *, budget: Budget | None = None, **options: Any) -> None:
        """See HttpRuntime; `workers` questions at a time over the whole cluster."""
        super().__init__(model, budget=budget, **options)
        ray = _ray()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(cluster())
        purse = ray.remote(num_cpus=0, max_concurrency=self.workers + 8)(_Purse).remote(_caps(self.budget))
        nodes = max(1, min(self.workers, sum(node["Alive"] for node in ray.nodes())))
        asker = ray.remote(num_cpus=0, max_concurrency=self.workers, scheduling_strategy="SPREAD")(_Asker)
        key = options.get("api_key") or os.environ.get("OPENAI_API_KEY")
        given = {**options, "base_url": self.url, "api_key": key}
        self._purse, self._askers = purse, [asker.remote(model, given, purse) for _ in range(nodes)]
        self._turn = 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, model: ModelRef, runtime: str | None = None, **options: Any) -> RayHttpRuntime:
        """As `open_runtime`."""
        return cls(model, **options)

    def _ask(self, prompt: Prompt, sampling: Sampling, closing: threading.Event) -> Completion:
        ray = _ray()
        with self._lock:
            self._turn += 1
            asker = self._askers[self._turn % len(self._askers)]
        try:
            found = ray.get(asker.ask.remote(prompt, sampling))
        except ray.exceptions.RayError as error:
            raise NoAnswer(f"the node that asked was lost ({type(error).__name__})") from None
        self.retried += found[1]
        answer: Completion = _told(found[0])
        return answer

    def close(self) -> None:
        ray = _ray()
        with contextlib.suppress(ray.exceptions.RayError):
            spent_in, spent_out, guessed = ray.get(self._purse.spent.remote())
            self.budget.spent_in, self.budget.spent_out, self.budget.guessed = spent_in, spent_out, guessed
        self._stack.close()
        super().close()

    def __enter__(self) -> RayHttpRuntime:
        return self


class _Asker:
    """On a node: an endpoint's client, whose budget lies elsewhere."""

    def __init__(self, model: ModelRef, options: dict[str, Any], purse: Any) -> None:
        self.runtime = HttpRuntime(model, budget=_Elsewhere(purse), **options)

    def ask(self, prompt: Prompt, sampling: Sampling) -> tuple[Completion | TruemarkError, int]:
        """The answer, or why there is none, and the tries beyond the first."""
        before = self.runtime.retried
        try:
            return self.runtime._ask(prompt, sampling, threading.Event()), self.runtime.retried - before
        except TruemarkError as error:  # as a value: Ray would make a class of its own of it
            return error, self.runtime.retried - before


class _Purse:
    """The one budget of all askers, in a process of the cluster."""

    def __init__(self, caps: dict[str, Any]) -> None:
        self.budget = Budget(**caps)
        self.open: dict[int, tuple[Any, Spending]] = {}
        self.lock = threading.Lock()

    def take(self, tokens_in: int, tokens_out: int) -> int | BudgetSpent:
        """Set room aside, waiting for it where others hold it; a receipt, or why there is none."""
        room = self.budget.room_for(tokens_in, tokens_out)
        try:
            cost = room.__enter__()
        except BudgetSpent as error:
            return error
        with self.lock:
            receipt = max(self.open, default=0) + 1
            self.open[receipt] = (room, cost)
        return receipt

    def give(self, receipt: int, tokens_in: int, tokens_out: int) -> None:
        """Book what it did cost."""
        with self.lock:
            room, cost = self.open.pop(receipt)
        cost.tokens_in, cost.tokens_out = tokens_in, tokens_out
        room.__exit__(None, None, None)

    def spent(self) -> tuple[int, int, int]:
        """Tokens taken and written, and tries that did not tell theirs."""
        return self.budget.spent_in, self.budget.spent_out, self.budget.guessed


class _Elsewhere(Budget):
    """A budget that asks a `_Purse` for room."""

    def __init__(self, purse: Any) -> None:
        super().__init__()
        self.purse = purse

    @contextlib.contextmanager
    def room_for(self, tokens_in: int, tokens_out: int) -> Iterator[Spending]:
        """As `Budget.room_for`."""
        ray = _ray()
        receipt = _told(ray.get(self.purse.take.remote(tokens_in, tokens_out)))
        cost = Spending(tokens_in, tokens_out)
        try:
            yield cost
        finally:
            ray.get(self.purse.give.remote(receipt, cost.tokens_in, cost.tokens_out))


def _caps(budget: Budget) -> dict[str, Any]:
    names = ("tokens", "usd", "price_in", "price_out", "spent_in", "spent_out", "guessed")
    return {name: getattr(budget, name) for name in names}


def _call(function: Callable[[T], R], item: T) -> R | TruemarkError:
    try:
        return function(item)
    except TruemarkError as error:  # as a value: Ray would make a class of its own of it
        return error


def _told(value: Any) -> Any:
    if isinstance(value, TruemarkError):
        raise value
    return value


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingDependency.extra(error.name or "ray", "ray") from None
    return ray

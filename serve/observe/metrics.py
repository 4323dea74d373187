"""Prometheus metrics of one gateway. Every label takes its values from a fixed set: routes, statuses and served models.

A name that a client made up is never a label, so memory stays constant whatever is asked. Queue time, time to the first
token and tokens per second are per generation (an answer that was sampled three times counts three times).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from serve.observe.record import Generated, Outcome, Record

if TYPE_CHECKING:
    from serve.supervisor import Supervisor

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SPEEDS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)
NO_MODEL = ""
"""Label of a request that reached no model."""


class Metrics:
    """See the module. A registry of its own: several gateways may live in one process."""

    def __init__(self, supervisor: Supervisor) -> None:
        own = self._registry = CollectorRegistry()
        own.register(_Engine(supervisor))
        self._requests = Counter(
            "truemark_requests", "HTTP requests by route, status and model", ["route", "status", "model"], registry=own
        )
        self._running = Gauge("truemark_requests_in_flight", "HTTP requests under way", registry=own)
        self._seconds = Histogram(
            "truemark_request_seconds",
            "From a request to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self._queue = Histogram(
            "truemark_queue_seconds",
            "From asking for an answer to the engine's having it",
            ["model"],
            buckets=_SECONDS,
            registry=own,
        )
        self._first = Histogram(
            "truemark_time_to_first_token_seconds",
            "From asking for an answer to its first piece",
            ["model"],
            buckets=_SECONDS,
            registry=own,
        )
        self._speed = Histogram(
            "truemark_tokens_per_second",
            "Of one answer, after its first token",
            ["model"],
            buckets=_SPEEDS,
            registry=own,
        )
        self._prompt = Counter("truemark_prompt_tokens", "Prompt tokens", ["model"], registry=own)
        self._completion = Counter("truemark_completion_tokens", "Answer tokens", ["model"], registry=own)
        self._broken = Counter(
            "truemark_unfinished_answers", "Answers that broke off, or whose client left", ["model"], registry=own
        )
        self._verdicts = Counter(
            "truemark_verified_answers", "Answers by what the domain's check said", ["model", "outcome"], registry=own
        )

    def began(self) -> None:
        """A request came."""
        self._running.inc()

    def ended(self, route: str, status: int, record: Record, seconds: float) -> None:
        """A request's answer has ended. `route` is the template, not the path."""
        self._running.dec()
        self._requests.labels(route, str(status), record.model or NO_MODEL).inc()
        self._seconds.labels(route).observe(seconds)

    def generated(self, record: Record, generation: Generated) -> None:
        """See `record.Observer`."""
        model = generation.model
        self._queue.labels(model).observe(generation.queued)
        if generation.first is not None:
            self._first.labels(model).observe(generation.first - generation.asked)
            self._prompt.labels(model).inc(generation.prompt_tokens)
            self._completion.labels(model).inc(generation.tokens)
        if generation.speed is not None:
            self._speed.labels(model).observe(generation.speed)
        if generation.finish_reason is None:
            self._broken.labels(model).inc()

    def judged(self, model: str, outcome: Outcome) -> None:
        """See `record.Observer`."""
        self._verdicts.labels(model, outcome).inc()

    def forget(self, model: str) -> None:
        """Drop the series of a model that is served no more."""
        for family in (self._queue, self._first, self._speed, self._prompt, self._completion, self._broken):
            family.remove_by_labels({"model": model})
        for family in (self._requests, self._verdicts):
            family.remove_by_labels({"model": model})

    def page(self) -> tuple[bytes, str]:
        """The text format, and its Content-Type. Every Prometheus reads it; the Accept header is not looked at."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Engine(Collector):
    """What the supervisor knows, read when it is asked for."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        supervisor = self._supervisor
        up = supervisor.state == "ok" and supervisor.engine.alive()
        yield GaugeMetricFamily("truemark_engine_up", "1 while requests are answered", value=float(up))
        yield CounterMetricFamily(
            "truemark_engine_restarts", "Times the engine was started again", value=float(supervisor.restarts)
        )

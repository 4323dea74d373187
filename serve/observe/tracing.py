"""OpenTelemetry spans, where its API is installed; exporting them is set up as for any program:

    opentelemetry-instrument truemark serve …        (pip install opentelemetry-distro opentelemetry-exporter-otlp)

One server span a request, which continues the client's trace (W3C `traceparent`), and in it one span a generation. The names
are those of OpenTelemetry's semantic conventions for HTTP and for generative AI. No text is ever an attribute.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Scope

from serve.observe.record import Generated, Outcome, Record

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


class Tracing:
    """See the module."""

    def __init__(self) -> None:
        """Raises ImportError where the API is not installed."""
        from opentelemetry import propagate, trace

        self._trace = trace
        self._extract = propagate.extract
        self._tracer = trace.get_tracer("truemark.serve")

    @classmethod
    def if_installed(cls) -> Tracing | None:
        """None where it is not."""
        try:
            return cls()
        except ImportError:
            return None

    @contextmanager
    def request(self, scope: Scope, record: Record) -> Iterator[None]:
        """The server span of a request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        record.span = self._tracer.start_span(
            method,
            context=self._extract({name: headers[name] for name in ("traceparent", "tracestate") if name in headers}),
            kind=self._trace.SpanKind.SERVER,
            attributes={"http.request.method": method, "truemark.request_id": record.id},
        )
        try:
            yield
        finally:
            record.span.end()

    def answered(self, route: str, status: int, record: Record) -> None:
        """What is known when the answer has ended."""
        span = record.span
        if not span.is_recording():
            return
        span.update_name(f"{span.name.partition(' ')[0]} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        if record.key is not None:
            span.set_attribute("enduser.id", record.key)
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)

    def generated(self, record: Record, generation: Generated) -> None:
        """See `record.Observer`. The span is made when it has ended, with the times that were taken on the way."""
        if record.span is None or not record.span.is_recording():
            return
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "truemark",
            "gen_ai.request.model": generation.model,
            "gen_ai.usage.input_tokens": generation.prompt_tokens,
            "gen_ai.usage.output_tokens": generation.tokens,
            "truemark.queue_seconds": generation.queued,
        }
        if generation.finish_reason:
            attributes["gen_ai.response.finish_reasons"] = (generation.finish_reason,)
        offset = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            f"generate_content {generation.model}",
            context=self._trace.set_span_in_context(record.span),
            attributes=attributes,
            start_time=int(generation.asked * 1e9) + offset,
        )
        if generation.first is not None:
            span.add_event("first token", timestamp=int(generation.first * 1e9) + offset)
        if generation.finish_reason is None:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def judged(self, model: str, outcome: Outcome) -> None:
        """See `record.Observer`: verdicts are counted, not traced."""

    def trace_id(self, record: Record) -> str | None:
        """Hex id of the request's trace, where it is recorded."""
        context = record.span.get_span_context()
        return format(context.trace_id, "032x") if context.is_valid else None

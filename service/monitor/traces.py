"""OpenTelemetry traces, where a site asks for them: `waferroute serve --traces URL` (extra "traces").

Each request is a span, part of the caller's trace if it sends `traceparent`; within an inspection the inspector's steps
and the keeping of the decision are spans of their own. Spans are sent by a thread (OTLP over HTTP); a collector that is
away costs spans and nothing else.
"""

from __future__ import annotations

import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.inspecting import Inspected
from service.state import Service
from wafer_data.errors import InputError

_TOLD = ("id", "wafer_id", "lot", "tool", "layer", "recipe", "decision", "route", "version", "rule")


class Traces:
    """The tracer of one worker.

    Args:
        endpoint: Where spans are sent, such as http://127.0.0.1:4318/v1/traces.
        node: Name of this worker.

    Raises:
        InputError: The extra "traces" is not installed, or the endpoint is no address.
    """

    def __init__(self, endpoint: str, node: str) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise InputError(f"--traces {endpoint}: a collector's address begins with http:// or https://")
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ModuleNotFoundError as error:
            raise InputError(
                f'traces need {error.name}: pip install "waferroute[traces]", or leave --traces out'
            ) from error
        resource = Resource.create({"service.name": "waferroute", "service.instance.id": node})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=5), schedule_delay_millis=1000)
        )
        self._tracer = self._provider.get_tracer("waferroute.service")
        self._context = TraceContextTextMapPropagator()

    def attach(self, service: Service) -> None:
        """Trace this worker's inspections, until it stops."""
        service.after.append(self.take)
        service.closing.append(self._provider.shutdown)

    def take(self, inspected: Inspected) -> None:
        """The steps of one kept decision, within its request's span."""
        from opentelemetry import trace

        row, now = inspected.row, time.time_ns()
        if row is None or inspected.repeated:
            return
        trace.get_current_span().set_attributes(
            {f"waferroute.{name}": row[name] for name in _TOLD if row.get(name) is not None}
        )
        at = int(row["received_at"] * 1e9)
        for step, took in row["steps_ms"].items():
            if step != "total":
                at = self._span(step, at, at + int(took * 1e6))
        self._span("keep", at, max(at, now))

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The application with a span around each request."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, use_span

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            caller = self._context.extract(dict(Headers(scope=scope)))
            span = self._tracer.start_span(scope["method"], context=caller, kind=SpanKind.SERVER)

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            with use_span(span, end_on_exit=True):
                try:
                    await app(scope, receive, told)
                finally:
                    handler: Any = scope.get("endpoint")
                    span.update_name(f"{scope['method']} {getattr(handler, '__name__', 'unknown')}")
                    span.set_attribute("http.request.method", scope["method"])

        return traced

    def _span(self, name: str, start: int, end: int) -> int:
        self._tracer.start_span(name, start_time=start).end(end)
        return end

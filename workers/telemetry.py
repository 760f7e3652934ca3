"""OpenTelemetry tracing of workflows, model calls and tools; off unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

The SDK's replay-safe tracing makes the spans, so a replayed step makes no second span.
"""

from collections.abc import Sequence

from temporalio.contrib.opentelemetry import OpenTelemetryPlugin
from temporalio.plugin import SimplePlugin

from workers.settings import Settings

SERVICE = "stanchion"


def tracing_plugins(settings: Settings) -> Sequence[SimplePlugin]:
    """Return the tracing plugin, or nothing if tracing is not configured."""
    if not settings.otlp_endpoint:
        return ()
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from temporalio.contrib.opentelemetry import create_tracer_provider

    provider = create_tracer_provider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return (OpenTelemetryPlugin(add_temporal_spans=True),)


def flush() -> None:
    """Send the spans that are still buffered. Call it before the process ends."""
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    force_flush = getattr(provider, "force_flush", None)
    if force_flush:
        force_flush()

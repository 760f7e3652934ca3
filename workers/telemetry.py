"""OpenTelemetry: off unless OTEL_EXPORTER_OTLP_ENDPOINT is set. Spans from workflow to model and tool.

Spans are made by the SDK's own replay-safe tracing; a replayed step makes no second span.
"""

from collections.abc import Sequence

from temporalio.contrib.opentelemetry import OpenTelemetryPlugin
from temporalio.plugin import SimplePlugin

from workers.settings import Settings

SERVICE = "stanchion"


def tracing_plugins(settings: Settings) -> Sequence[SimplePlugin]:
    """The plugin that traces, if tracing is configured."""
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
    """Send what is still held back; call it before the process ends."""
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    force = getattr(provider, "force_flush", None)
    if force:
        force()

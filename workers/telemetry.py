"""OpenTelemetry: off unless OTEL_EXPORTER_OTLP_ENDPOINT is set. Spans from workflow to model and tool, and metrics.

Spans are made by the SDK's own replay-safe tracing; a replayed step makes no second span. Metric names follow the
stock dashboards, which needs the suffixes and seconds switched on.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from temporalio.contrib.opentelemetry import OpenTelemetryPlugin
from temporalio.plugin import SimplePlugin
from temporalio.runtime import OpenTelemetryConfig, OpenTelemetryMetricTemporality, Runtime, TelemetryConfig

from workers.settings import SettingInvalid, Settings

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


def metrics_runtime(settings: Settings, metrics_endpoint: str | None) -> Runtime | None:
    """A runtime that exports the SDK's metrics over OTLP (gRPC), if an endpoint for them is configured."""
    if not metrics_endpoint:
        return None
    if urlsplit(metrics_endpoint).scheme not in ("http", "https"):
        raise SettingInvalid("STANCHION_OTLP_METRICS_URL is the URL of an OTLP gRPC collector, http://host:4317")
    metrics = OpenTelemetryConfig(
        url=metrics_endpoint,
        metric_temporality=OpenTelemetryMetricTemporality.CUMULATIVE,
        durations_as_seconds=True,
    )
    return Runtime(telemetry=TelemetryConfig(metrics=metrics))


def flush() -> None:
    """Send what is still held back; call it before the process ends."""
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    force = getattr(provider, "force_flush", None)
    if force:
        force()

"""Tracing: off by default; on, one run is one trace, from the workflow to the model and the tools, also on a replay."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.harness.stanchion import Stanchion, eventually
from workers.services import Services

pytestmark = pytest.mark.slow


class Collector:
    """A local OTLP collector over HTTP that keeps what it gets."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """`POST /v1/traces`."""
        batch = MessageToDict(ExportTraceServiceRequest.FromString(await request.read()))
        for resource in batch.get("resourceSpans", ()):
            for scope in resource.get("scopeSpans", ()):
                self.spans.extend(scope.get("spans", ()))
        return web.Response()


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector on a port of its own."""
    kept, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", kept.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kept.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield kept
    await runner.cleanup()


async def test_a_traced_run_is_one_trace_with_spans_for_model_and_tools_and_its_events_carry_the_id(
    collector: Collector, stanchion: Stanchion, services: Services
) -> None:
    await stanchion.down()  # a worker process of its own: tracing is set up once per process
    agent = await stanchion.publish([{"tools": [{"name": "look", "input": {"what": "a"}}]}, {"text": "ok"}], "look")
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "workers.cli",
        "worker",
        env={
            "PATH": "",
            "TEMPORAL_ADDRESS": services.temporal.address,
            "DATABASE_URL": stanchion.database_url,
            "STANCHION_TASK_QUEUE": stanchion.settings.task_queue,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    try:
        handle = await stanchion.start(agent)
        assert (await stanchion.outcome(handle))["status"] == "completed"
        activities = {"RunActivity:model.plan", "RunActivity:gateway.call", "RunActivity:runs.close"}

        async def all_arrived() -> bool:
            return activities <= {span["name"] for span in collector.spans}

        await eventually(all_arrived, f"spans {activities}")
    finally:
        worker.terminate()
        _, err = await asyncio.wait_for(worker.communicate(), 60)
    run_spans = [span for span in collector.spans if span["name"] in activities]
    assert len({span["traceId"] for span in run_spans}) == 1
    assert sum(span["name"] == "RunActivity:model.plan" for span in run_spans) == 2  # two steps, and no replay doubles
    lines = [json.loads(line) for line in err.decode().splitlines() if line.startswith("{")]
    logged = [line for line in lines if line.get("run_id") == handle.id and line["event"] == "call.observed"]
    stored = await stanchion.value(
        "SELECT trace_id FROM events WHERE run_id = $1 AND kind = 'call.observed'", handle.id
    )
    assert [line["trace_id"] for line in logged] == [stored]
    assert stored


async def test_without_an_endpoint_nothing_is_traced(stanchion: Stanchion) -> None:
    agent = await stanchion.publish([{"text": "ok"}])
    handle = await stanchion.start(agent)
    await stanchion.outcome(handle)
    assert await stanchion.value("SELECT count(trace_id) FROM events WHERE run_id = $1", handle.id) == 0

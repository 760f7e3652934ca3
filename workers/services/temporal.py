"""Finds, starts and stops Temporal: the server that the environment names, or a dev server of this home."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.service import RPCError

from workers.services.dev_server import SERVICE, find_or_start
from workers.services.home import Home, Progress, Record, ServiceUnavailable
from workers.services.processes import stop, tail_of
from workers.services.search_attributes import list_search_attributes, register_search_attributes

STARTS = 3  # another process may take a port between our check and the server's start, but hardly three times
START_SECONDS = 120.0  # for a big database after a crash, on a busy laptop; a normal start takes two seconds
EXTERNAL_SECONDS = 15.0  # enough for a restart of an external server
CALL_SECONDS = 5.0
POLL_SECONDS = 0.1
STOP_SIGNALS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))

__all__ = [
    "TemporalService",
    "TemporalUnreachable",
    "ensure_temporal",
    "find_temporal",
    "list_search_attributes",
    "named_server",
    "reach",
    "register_search_attributes",
    "stop_temporal",
]


class TemporalUnreachable(ServiceUnavailable):
    """The Temporal server does not answer."""


@dataclass(frozen=True)
class TemporalService:
    """A Temporal server. `owned`: we started it as process `pid`, so we may stop it."""

    address: str
    namespace: str
    ui_url: str | None
    pid: int | None
    owned: bool

    def connect_config(self) -> ClientConnectConfig:
        """Return the arguments for `Client.connect`. Credentials and TLS come from the environment."""
        if self.owned:
            return {"target_host": self.address, "namespace": self.namespace}
        return named_server().to_client_connect_config()


def named_server() -> ClientConfigProfile:
    """Load the SDK's environment configuration; its `address` is None if it names no server."""
    try:
        return ClientConfigProfile.load()
    except Exception as error:  # the SDK's error has no public type
        raise TemporalUnreachable(
            f"The Temporal configuration cannot be read: {error}. "
            "Check TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE and the file that they name."
        ) from error


def find_temporal(home: Home) -> TemporalService | None:
    """Return the server that the environment names, or this home's running one, or None.

    Starts nothing, connects to nothing.
    """
    profile = named_server()
    if profile.address:
        return TemporalService(profile.address, profile.namespace or "default", None, None, owned=False)
    record = home.living(SERVICE)
    return _service_from_record(record) if record else None


async def ensure_temporal(
    home: Home,
    *,
    progress: Progress,
    search_attributes: Mapping[str, str] | None = None,
    prefer_default_ports: bool = True,
    timeout: float = EXTERNAL_SECONDS,
) -> TemporalService:
    """Return a Temporal server that answers: the environment's, else this home's, started if necessary.

    `timeout` is how many seconds the environment's server has to answer. Raises `TemporalUnreachable`, with the end of
    the log if our server died, and `TemporalBinaryMissing`.
    """
    named = find_temporal(home)
    if named and not named.owned:
        await reach(named, timeout=timeout)
        return named
    namespace = named_server().namespace or "default"
    for _ in range(STARTS):
        try:
            record = await find_or_start(home, namespace, search_attributes or {}, prefer_default_ports, progress)
            await _wait_until_it_answers(record)
            return _service_from_record(record)
        except _Died:
            continue
        except (OSError, subprocess.SubprocessError) as error:
            raise TemporalUnreachable(f"The Temporal server could not be started: {error}") from error
    raise TemporalUnreachable(f"The Temporal server died while it started:\n{tail_of(home.log(SERVICE))}")


async def stop_temporal(home: Home) -> bool:
    """Stop the server that this home started, and no other process. Returns False if none was running."""
    async with home.locked(SERVICE):
        record = home.living(SERVICE)
        if record is not None and not await stop(record.pid, record.is_alive, STOP_SIGNALS):
            raise ServiceUnavailable(f"The Temporal server (process {record.pid}) did not end.")
        return record is not None


async def reach(service: TemporalService, *, timeout: float = EXTERNAL_SECONDS) -> Client:
    """Wait until the server answers, including its namespace and visibility; return a client.

    Raises `TemporalUnreachable` after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await _connect_once(service)
        except (RPCError, RuntimeError, OSError) as error:  # OSError includes the time-out of one attempt
            if time.monotonic() > deadline:
                raise TemporalUnreachable(
                    f"Temporal at {service.address}, namespace {service.namespace}, does not answer: "
                    f"{str(error) or type(error).__name__}. " + _advice(service)
                ) from error
        await asyncio.sleep(POLL_SECONDS)


class _Died(Exception):
    """The server's process ended before it answered."""


async def _wait_until_it_answers(record: Record) -> None:
    deadline = time.monotonic() + START_SECONDS
    while record.is_alive():
        try:
            await reach(_service_from_record(record), timeout=min(1.0, deadline - time.monotonic()))
            if record.is_alive():  # otherwise it was another server that answered, on the port that ours wanted
                return
        except TemporalUnreachable:
            if time.monotonic() > deadline:
                raise
    raise _Died


async def _connect_once(service: TemporalService) -> Client:
    limit = timedelta(seconds=CALL_SECONDS)
    async with asyncio.timeout(CALL_SECONDS):
        client = await Client.connect(**service.connect_config())
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=service.namespace), timeout=limit
        )
        await client.count_workflows(rpc_timeout=limit)  # visibility becomes available last
    return client


def _service_from_record(record: Record) -> TemporalService:
    details = record.details
    return TemporalService(
        record.address, details.get("namespace", "default"), details.get("ui_url"), record.pid, owned=True
    )


def _advice(service: TemporalService) -> str:
    if service.owned:
        return "Run `stanchion down`, then `stanchion up`."
    return "Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_PROFILE, or unset them to use a local dev server."

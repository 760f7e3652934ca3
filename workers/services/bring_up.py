"""Starts and stops both services that Stanchion needs: Temporal and Postgres."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from workers.services.home import Home, Progress, ServiceUnavailable
from workers.services.postgres import PostgresService, ensure_postgres, stop_postgres
from workers.services.temporal import (
    TemporalService,
    ensure_temporal,
    reach,
    register_search_attributes,
    stop_temporal,
)


@dataclass(frozen=True)
class Services:
    """A Temporal and a Postgres that both answer."""

    temporal: TemporalService
    postgres: PostgresService


async def ensure_services(
    home: Home,
    progress: Progress,
    *,
    search_attributes: Mapping[str, str] = MappingProxyType({}),
) -> Services:
    """Find or start both services, and register the search attributes (name → type).

    Temporal is the server that the SDK's environment configuration names; Postgres is the server that DATABASE_URL
    names. If one is not configured, an embedded server is started in `home`; it outlives this process.
    Raises the first `ServiceUnavailable`, whose text says what to do.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            temporal = tasks.create_task(_ensure_temporal(home, progress, search_attributes))
            postgres = tasks.create_task(ensure_postgres(home, os.environ.get("DATABASE_URL"), progress))
    except* ServiceUnavailable as failures:
        first = failures.exceptions[0]
    else:
        return Services(temporal.result(), postgres.result())
    raise first


async def stop_services(home: Home) -> tuple[str, ...]:
    """Stop the services that this home started. Returns the names of those that were running."""
    temporal, postgres = await asyncio.gather(stop_temporal(home), stop_postgres(home))
    return tuple(name for name, ran in (("temporal", temporal), ("postgres", postgres)) if ran)


async def _ensure_temporal(home: Home, progress: Progress, search_attributes: Mapping[str, str]) -> TemporalService:
    service = await ensure_temporal(home, progress=progress, search_attributes=search_attributes)
    if search_attributes:
        await register_search_attributes(await reach(service), search_attributes)
    return service

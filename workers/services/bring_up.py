"""Brings up both services that Stanchion stands on, Temporal and Postgres, and stops what was started."""

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
    """Both services, up and answering."""

    temporal: TemporalService
    postgres: PostgresService


async def ensure_services(
    home: Home,
    progress: Progress,
    *,
    search_attributes: Mapping[str, str] = MappingProxyType({}),
) -> Services:
    """Both services, answering, with the search attributes (name → type) registered. What we start outlives us.

    Temporal is the server of the SDK's environment configuration and Postgres that of DATABASE_URL; unset, each comes
    up embedded in `home`. Raises the first `ServiceUnavailable`, whose text says what to do.
    """
    try:
        async with asyncio.TaskGroup() as both:
            temporal = both.create_task(_temporal(home, progress, search_attributes))
            postgres = both.create_task(ensure_postgres(home, os.environ.get("DATABASE_URL"), progress))
    except* ServiceUnavailable as failed:
        first = failed.exceptions[0]
    else:
        return Services(temporal.result(), postgres.result())
    raise first


async def stop_services(home: Home) -> tuple[str, ...]:
    """End what this home started, and nothing else; the names of what was running."""
    temporal, postgres = await asyncio.gather(stop_temporal(home), stop_postgres(home))
    return tuple(name for name, ran in (("temporal", temporal), ("postgres", postgres)) if ran)


async def _temporal(home: Home, progress: Progress, search_attributes: Mapping[str, str]) -> TemporalService:
    service = await ensure_temporal(home, progress=progress, search_attributes=search_attributes)
    if search_attributes:
        await register_search_attributes(await reach(service), search_attributes)
    return service

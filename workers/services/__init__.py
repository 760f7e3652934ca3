"""Finds or starts the services that Stanchion needs: Temporal and Postgres.

Names are imported at their first use, so that a command that only reads tables does not import Temporal's SDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.services.bring_up import Services, ensure_services, stop_services
    from workers.services.home import Home, Progress, ServiceUnavailable
    from workers.services.postgres import PostgresService, PostgresUnreachable, ensure_postgres
    from workers.services.temporal import (
        TemporalService,
        TemporalUnreachable,
        ensure_temporal,
        reach,
        register_search_attributes,
    )

__all__ = [
    "Home",
    "PostgresService",
    "PostgresUnreachable",
    "Progress",
    "ServiceUnavailable",
    "Services",
    "TemporalService",
    "TemporalUnreachable",
    "ensure_postgres",
    "ensure_services",
    "ensure_temporal",
    "reach",
    "register_search_attributes",
    "stop_services",
]

_MODULES = {
    "bring_up": ("Services", "ensure_services", "stop_services"),
    "home": ("Home", "Progress", "ServiceUnavailable"),
    "postgres": ("PostgresService", "PostgresUnreachable", "ensure_postgres"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "temporal")
    return getattr(import_module(f"{__name__}.{module}"), name)

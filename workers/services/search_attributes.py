"""Lists and registers the search attributes of a namespace.

Temporal silently ignores a second registration under another type, so this module compares the types.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workers.services.home import ServiceUnavailable

CALL_LIMIT = timedelta(seconds=5)
VISIBLE_SECONDS = 30.0  # a cluster's nodes refresh their caches within this time; a dev server does it at once
POLL_SECONDS = 0.1
TYPES = {
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "Double": IndexedValueType.INDEXED_VALUE_TYPE_DOUBLE,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    "Text": IndexedValueType.INDEXED_VALUE_TYPE_TEXT,
}


class SearchAttributeConflict(ServiceUnavailable):
    """A search attribute exists with another type, and Temporal would ignore that silently."""


async def list_search_attributes(client: Client) -> dict[str, str]:
    """Return the custom search attributes of the client's namespace: name → type. Raises ServiceUnavailable."""
    names = {number: name for name, number in TYPES.items()}
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        listed = await client.operator_service.list_search_attributes(request, timeout=CALL_LIMIT)
    except RPCError as error:
        raise ServiceUnavailable(f"Search attributes could not be listed: {error.message}.") from error
    return {name: names.get(number, str(number)) for name, number in listed.custom_attributes.items()}


async def register_search_attributes(client: Client, wanted: Mapping[str, str]) -> None:
    """Register the missing attributes of `wanted` (name → type) and wait until all are visible.

    Raises `SearchAttributeConflict` if one exists with another type, `ServiceUnavailable` if Temporal refuses.
    """
    missing = _find_missing(await list_search_attributes(client), wanted)
    if not missing:
        return
    request = AddSearchAttributesRequest(
        namespace=client.namespace, search_attributes={name: TYPES[kind] for name, kind in missing.items()}
    )
    try:
        await client.operator_service.add_search_attributes(request, timeout=CALL_LIMIT)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:  # another process has added them in the meantime
            flags = " ".join(f"--name {name} --type {kind}" for name, kind in missing.items())
            raise ServiceUnavailable(
                f"Search attributes could not be registered: {error.message}. Someone with the right to do it can run: "
                f"temporal operator search-attribute create --namespace {client.namespace} {flags}"
            ) from error
    deadline = time.monotonic() + VISIBLE_SECONDS
    while _find_missing(await list_search_attributes(client), wanted):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"Search attributes were registered but are not visible: {', '.join(missing)}.")
        await asyncio.sleep(POLL_SECONDS)


def _find_missing(present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of `wanted` that are not present. Raises SearchAttributeConflict if a type differs."""
    for name, kind in wanted.items():
        if name in present and present[name] != kind:
            raise SearchAttributeConflict(
                f"The search attribute {name} has the type {present[name]}, Stanchion needs {kind}. "
                f"Remove it (temporal operator search-attribute remove --name {name}) or use another namespace."
            )
    return {name: kind for name, kind in wanted.items() if name not in present}

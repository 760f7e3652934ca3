"""Search attributes of a namespace: have the wanted ones registered, with the wanted types.

Temporal ignores a second registration under another type without a word, so types are compared here.
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
VISIBLE_SECONDS = 30.0  # a cluster's nodes refresh their caches within this; a dev server at once
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
    """The namespace's own search attributes: name → type."""
    names = {number: name for name, number in TYPES.items()}
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        listed = await client.operator_service.list_search_attributes(request, timeout=CALL_LIMIT)
    except RPCError as error:
        raise ServiceUnavailable(f"Search attributes could not be listed: {error.message}.") from error
    return {name: names.get(number, str(number)) for name, number in listed.custom_attributes.items()}


async def register_search_attributes(client: Client, wanted: Mapping[str, str]) -> None:
    """Have every attribute of `wanted` (name → type) registered and visible. Adds what is missing, changes nothing.

    Raises `SearchAttributeConflict` if one has another type, `ServiceUnavailable` if adding is refused.
    """
    missing = _missing(await list_search_attributes(client), wanted)
    if not missing:
        return
    request = AddSearchAttributesRequest(
        namespace=client.namespace, search_attributes={name: TYPES[kind] for name, kind in missing.items()}
    )
    try:
        await client.operator_service.add_search_attributes(request, timeout=CALL_LIMIT)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:  # someone else adds them at this moment: as good
            flags = " ".join(f"--name {name} --type {kind}" for name, kind in missing.items())
            raise ServiceUnavailable(
                f"Search attributes could not be registered: {error.message}. Someone with the right to do it can run: "
                f"temporal operator search-attribute create --namespace {client.namespace} {flags}"
            ) from error
    deadline = time.monotonic() + VISIBLE_SECONDS
    while _missing(await list_search_attributes(client), wanted):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"Search attributes were registered but are not visible: {', '.join(missing)}.")
        await asyncio.sleep(POLL_SECONDS)


def _missing(present: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    for name, kind in wanted.items():
        if name in present and present[name] != kind:
            raise SearchAttributeConflict(
                f"The search attribute {name} has the type {present[name]}, Stanchion needs {kind}. "
                f"Remove it (temporal operator search-attribute remove --name {name}) or use another namespace."
            )
    return {name: kind for name, kind in wanted.items() if name not in present}

"""Names the Temporal that a run lives in: the id of its cluster, and the namespace."""

from temporalio import activity
from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client


async def engine_of(client: Client) -> str:
    """`<cluster id>/<namespace>`: another server, also one that lost its data, has another. Raises RPCError."""
    info = await client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    return f"{info.cluster_id}/{client.namespace}"


class OwnEngine:
    """The engine that this process works for, asked for once. Outside of an activity there is none."""

    def __init__(self) -> None:
        self._name = ""

    async def name(self) -> str:
        """Its name. Raises RPCError."""
        if not self._name and activity.in_activity():
            self._name = await engine_of(activity.client())
        return self._name

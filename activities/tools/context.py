"""`ToolContext`: what a tool knows about the call that it performs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from activities.tools.errors import ToolError


@dataclass(frozen=True)
class ToolContext:
    """The identity of the call, and the tool settings of the worker. It gives no access to the gateway's tables."""

    run_id: str
    call_id: str
    agent: str
    tenant: str
    requester: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def idempotency_key(self) -> str:
        """`run_id/call_id`: the same for all attempts at this call, and different for every other call."""
        return f"{self.run_id}/{self.call_id}"

    def setting(self, name: str) -> str:
        """The tool worker's setting STANCHION_TOOL_<NAME>, from its environment. Raises ToolError."""
        if name not in self.settings:
            raise ToolError(f"this worker has no setting {name!r}; start it with STANCHION_TOOL_{name.upper()} set")
        return self.settings[name]

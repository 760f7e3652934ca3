"""What a tool is told about the call it serves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from activities.tools.errors import ToolError


@dataclass(frozen=True)
class ToolContext:
    """Identity of the call and the settings of its worker. Nothing here lets a tool reach the gateway's own tables."""

    run_id: str
    call_id: str
    agent: str
    tenant: str
    requester: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def idempotency_key(self) -> str:
        """`run_id/call_id`: the same for every attempt at this call, and for no other call ever."""
        return f"{self.run_id}/{self.call_id}"

    def setting(self, name: str) -> str:
        """A setting of the tool worker, from its environment: STANCHION_TOOL_<NAME>. Raises ToolError."""
        if name not in self.settings:
            raise ToolError(f"this worker has no setting {name!r}; start it with STANCHION_TOOL_{name.upper()} set")
        return self.settings[name]

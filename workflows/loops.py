"""Loop memory: which calls were made lately, so that a run that repeats itself is noticed. Part of RunState."""

from workflows.contracts.base import Frozen

REPEAT_LIMIT = 3  # the third identical call is refused: two may be a retry the model meant, three is a loop
REMEMBERED = 16  # calls looked back on: longer than any sensible pause between two identical calls of a loop
WAIT_TOOL = "wait"


class LoopMemory(Frozen):
    """The latest calls as `tool:digest`, oldest first."""

    recent: tuple[str, ...] = ()

    def after(self, tool: str, digest: str) -> "LoopMemory":
        """The memory once this call is done. Waiting clears it: to look again after a while is no loop."""
        if tool == WAIT_TOOL:
            return self.forgotten()
        return LoopMemory(recent=(*self.recent, f"{tool}:{digest[:16]}")[-REMEMBERED:])

    def forgotten(self) -> "LoopMemory":
        """A memory of nothing: a person spoke, or time passed."""
        return LoopMemory()

    def repeats(self, tool: str, digest: str) -> int:
        """How often this very call is remembered."""
        return self.recent.count(f"{tool}:{digest[:16]}")

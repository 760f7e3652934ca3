"""What people see of a living run: the `status` and `approvals` queries and the Web UI's current details.

No arguments and no secrets: goal line, step, cost, and the exact command that answers an open approval.
"""

from datetime import datetime
from typing import Any

from workflows.alarms import continue_with
from workflows.contracts.approvals import OpenApproval
from workflows.contracts.budgets import micros_to_usd
from workflows.state import RunState, active_seconds, at_work, spent_in_all, status_word
from workflows.visible import show_hidden_characters

REASON_SHOWN = 200  # characters of a pause's reason: whoever pauses a run may write any text


def status(state: RunState, now: datetime) -> dict[str, Any]:
    """The answer to the `status` query. Public and stable (docs/contract.md)."""
    seconds = active_seconds(state, now) + state.delegated.seconds
    spent = spent_in_all(state).having(seconds=seconds)
    return {
        "run_id": state.run_id,
        "agent": state.agent,
        "agent_version": state.opened.agent_version if state.opened else None,
        "tenant": state.tenant,
        "requester": state.requester,
        "goal": state.goal_line,
        "status": status_word(state),
        "waiting_for": waiting_for(state),
        "step": state.step,
        "spent": spent.for_people(),
        "approvals": approvals(state),
        "rollovers": state.rollovers,
    }


def approvals(state: RunState) -> list[dict[str, Any]]:
    """The answer to the `approvals` query: what is open, and the command that answers it. Public and stable."""
    return [
        a.model_dump(mode="json") | {"run_id": state.run_id, "answer_with": answer_with(state.run_id, a)}
        for a in state.approvals
    ]


def answer_with(run_id: str, approval: OpenApproval) -> str:
    """The command that answers `approval`."""
    if approval.about == "unknown":
        return f"stanchion resolve {run_id} {approval.call_id} happened|did-not|stop"
    return f"stanchion approve {approval.approval_id}"


def waiting_for(state: RunState) -> str | None:
    """What the run waits for, by name; None while it works."""
    if state.approvals:
        return f"approval {state.approvals[0].approval_id}"
    if state.timer:
        return f"timer until {state.timer.until.isoformat()}"
    if state.pause:
        if state.pause.halt:
            return f"the lifting of {state.pause.halt}: {state.pause.reason}"
        return f"resume: {state.pause.reason}" if state.pause.reason else "resume"
    if state.vendor:
        return f"{state.vendor}; asked again at {state.vendor.until.isoformat(timespec='seconds')}"
    if children := at_work(state):
        return f"sub-agent {children[0].run_id}" + (f" and {len(children) - 1} more" if len(children) > 1 else "")
    return None


def details(state: RunState) -> str:
    """The Web UI's current details, in Markdown."""
    budget = state.opened.budget if state.opened else None
    cap = f" of {micros_to_usd(budget.usd_micros)}" if budget else ""
    spent = spent_in_all(state)
    lines = [
        f"**{state.agent}**: {state.goal_line}",
        f"step {state.step} · {status_word(state)} · {micros_to_usd(spent.usd_micros)}{cap} USD · "
        f"{spent.tokens} tokens · {spent.tool_calls} tool calls",
    ]
    for open_approval in state.approvals:
        what = "outcome unknown" if open_approval.about == "unknown" else f"needs approval ({open_approval.tier})"
        lines.append(f"`{open_approval.tool}` {what}: `{answer_with(state.run_id, open_approval)}`")
    if state.timer:
        lines.append(f"sleeping until {state.timer.until.isoformat(timespec='seconds')}")
    if state.vendor and not state.pause:
        reason = " ".join(str(state.vendor).split())[:REASON_SHOWN]
        again = state.vendor.until.isoformat(timespec="seconds")
        lines.append(
            f"waiting for a model vendor ({reason}); asked again at {again}: `stanchion resume {state.run_id}`"
        )
    lines += [f"`{child.agent}` is at work: `{child.run_id}`" for child in at_work(state)]
    if state.pause:
        reason = " ".join((state.pause.reason or "").split())[:REASON_SHOWN]
        command = continue_with(state.run_id, state.breach) if state.breach else f"stanchion resume {state.run_id}"
        how = "" if state.pause.halt else f": `{command}`"  # a halt is lifted instead
        lines.append(f"paused ({reason}){how}" if reason else f"paused{how}")
    return "\n\n".join(map(show_hidden_characters, lines))

"""Formats each event of the trace log as one line of text."""

from typing import Any

from workflows.contracts.money import micros_to_usd

SYMBOLS = {"allow": "+", "ask": "?", "deny": "x"}


def format_event(event: dict[str, Any]) -> str:
    """Return the event as a line: time, call or step, and description."""
    body = event["body"]
    where = event["call_id"] or (f"step {event['step']}" if event["step"] else "")
    return f"{event['at'].astimezone():%H:%M:%S}  {where:<8} {_describe(event['kind'], body)}"


def _describe(kind: str, body: dict[str, Any]) -> str:
    match kind:
        case "planned":
            calls = ", ".join(call["tool"] for call in body.get("calls", ()))
            estimate = f" (cost as reserved: {body['estimated']})" if body.get("estimated") else ""
            return f"model      {calls or body.get('next', 'calls')}{estimate}"
        case "verdict.given":
            return f"{SYMBOLS[body['verdict']]} {body['verdict']:<8} {body['tool']}: {body['rule']} ({body['reason']})"
        case "call.claimed":
            attempt = f", attempt {body['fence']}" if body["fence"] > 1 else ""
            return f"claim      {body['tool']} ({body['contract']}{attempt})"
        case "call.observed":
            settled_by = "" if body.get("settled_by", "result") == "result" else f", settled by {body['settled_by']}"
            label = "error" if body["is_error"] else "result"
            return f"{label:<10} {body['tool']}: {body['size']} characters{settled_by}"
        case "decision.recorded":
            return f"decision   {body['verdict']} by {body['by']}: {body['receipt']['answer']}"
        case "outcome.unknown":
            return f"unknown    {body['tool']}: {body['reason']}"
        case "halt.ordered" | "pause.ordered" | "resume.ordered":
            person = f" by {body['by']}" if body.get("by") else ""
            return f"{kind.partition('.')[0]:<10}{person}" + (f": {body['reason']}" if body.get("reason") else "")
        case "budget.marked":
            return f"budget     {body['percent']} % of {body['budget']} used: {_used_of_cap(body)}"
        case "budget.breached":
            return f"budget     {body['told']}"
        case "cost.alarm":
            typical = micros_to_usd(body["typical"])
            return f"cost       {_used_of_cap(body)}; runs of this agent typically cost {typical} USD"
        case "vendor.away":
            how = (
                "until a person resumes it" if body.get("needs_person") else f"asked again at {body['until'][:19]} UTC"
            )
            return f"waiting    for {body['vendor']}: {body['error']}; {how}"
        case "budget.granted":
            return f"budget     added by {body['by']}: {', '.join(f'{n} {name}' for name, n in body['added'].items())}"
        case "run.closed":
            return f"closed     {body['ending']['status']}: {body['ending']['rule']}"
        case _:
            return kind


def _used_of_cap(body: dict[str, Any]) -> str:
    if body.get("budget", "usd") == "usd":
        return f"{micros_to_usd(body['used'])} of {micros_to_usd(body['cap'])} USD"
    return f"{body['used']} of {body['cap']}"

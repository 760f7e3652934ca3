"""Looking at a local Slack: cards, forms, what people are told; and what the run made of it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from activities.identity.principals import Principals
from activities.identity.signatures import new_key
from tests.fakes.slack_api import FakeSlack, Message, Opened, told
from tests.harness.checks import events
from tests.harness.stanchion import Stanchion, eventually
from workers.keys import Signer
from workers.slack.config import SlackSettings

Handle = WorkflowHandle[Any, Any]
Starts = Callable[..., Awaitable[str]]
BO = {"to": "bo@acme.example"}
REQUEST_ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


def settings_for(slack: FakeSlack, *, http: bool = False, **more: Any) -> SlackSettings:
    """Settings that lead to the fake."""
    way = {"signing_secret": slack.signing_secret} if http else {"app_token": slack.app_token}
    values = {"bot_token": slack.bot_token, "channel": "C0ASKS", "listen": "127.0.0.1:0", "api_url": slack.api_url}
    return SlackSettings(**{**values, **way, **more})


async def people(stanchion: Stanchion) -> None:
    """Lee and Ann, whose Slack users we know."""
    for name, user in (("lee", "ULEE"), ("ann", "UANN")):
        await stanchion.rows(
            "INSERT INTO principals (tenant, name, slack_user, added_by) VALUES ('default', $1, $2, 'test')", name, user
        )


async def as_seen(value: Any) -> Any:
    return value


async def asking(stanchion: Stanchion, arguments: dict[str, Any] | None = None, **request: Any) -> Handle:
    """A run that wants to send something, and waits for its approval."""
    call = {"tools": [{"name": "send", "input": arguments or BO}]}
    handle = await stanchion.start(await stanchion.publish([call, {"text": "done"}], "send"), **request)
    await stanchion.approval(handle)
    return handle


async def card_of(slack: FakeSlack, handle: Handle, channel: str = "C0ASKS") -> Message:
    """The card of a run, once there is one."""

    def found() -> Message | None:
        return next(
            (m for m in slack.messages if handle.id in m.shown and m.channel == channel and not m.deleted), None
        )

    return await eventually(lambda: as_seen(found()), f"a card of {handle.id}")  # type: ignore[return-value]


async def shows(card: Message, text: str) -> None:
    await eventually(lambda: as_seen(text in card.shown), f"the card shows {text!r}, not {card.shown}")


async def hears(slack: FakeSlack, user: str, text: str) -> None:
    """A person, and nobody else, is told something."""

    def look() -> bool:
        return any(text in told(said) for said in slack.ephemerals if said["user"] == user)

    await eventually(lambda: as_seen(look()), f"{user} is told {text!r}, not {slack.ephemerals}")


async def form(slack: FakeSlack, count: int = 1) -> Opened:
    await eventually(lambda: as_seen(len(slack.forms) >= count), "a form opens")
    return slack.forms[-1]


async def state_of(stanchion: Stanchion, handle: Handle) -> str:
    return str(await stanchion.value("SELECT state FROM approvals WHERE run_id = $1", handle.id))


async def registered(stanchion: Stanchion) -> Signer:
    """The bot's key, known as a surface's."""
    signer = Signer.of(new_key())
    await Principals(stanchion.parts.database).add_key(signer.public, "surface", "*", None, "test")
    return signer


async def decisions_sent(handle: Handle) -> list[dict[str, Any]]:
    """The decisions that reached the run, as they were on the wire."""
    accepted = await events(handle, REQUEST_ACCEPTED)
    found = [e.workflow_execution_update_accepted_event_attributes.accepted_request.input.args for e in accepted]
    return [json.loads(args.payloads[0].data) for args in found]

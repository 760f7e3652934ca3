"""Bot: turns clicks and submitted forms in Slack into decisions of registered people."""

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiohttp import ClientError
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from activities.errors import Transient
from activities.identity.proof import canonical_name
from workers.slack.answers import Answers, NotSent
from workers.slack.approval import Approval
from workers.slack.cards import ACTION, STATE_LABELS
from workers.slack.config import SlackSettings
from workers.slack.message_board import MessageBoard
from workers.slack.messages import Messages
from workers.slack.modals import FIELD, FormInput, Place, form, read_form, read_place
from workers.slack.notifications import WakeEvent
from workers.slack.text import escaped, one_line, sentence
from workers.slack.web_api import error_name

OURS = re.compile(rf"^{re.escape(ACTION)}")
FORMS = frozenset(("edit", "deny", "restate", "code"))
VERDICTS = {"approve": "approve", "approve-next": "approve", "edit": "edit", "deny": "reject", "code": "approve"}

log = structlog.get_logger("stanchion.slack")


class RegisteredPerson(Protocol):
    """A person in our table."""

    @property
    def name(self) -> str:
        """The name under which they decide."""


class People(Protocol):
    """Finds the registered person for a Slack user."""

    async def by_slack(self, tenant: str, slack_user: str) -> RegisteredPerson | None:
        """Return the person registered with that Slack user in a tenant, or None."""


class _Refused(Exception):
    """The action is not possible; the text is for the person who tried."""


@dataclass(frozen=True)
class _SlackUser:
    """The Slack user who clicked, and the id of their home workspace."""

    user: str
    team: str


@dataclass(frozen=True)
class Bot:
    """The listeners for clicks and forms. Each acknowledges at once, acts, and answers with an ephemeral message."""

    settings: SlackSettings
    team: str
    web: AsyncWebClient
    messages: Messages
    board: MessageBoard
    people: People
    answers: Answers
    wake: WakeEvent

    def app(self) -> AsyncApp:
        """Return the Bolt app, which verifies the signature of every HTTP request."""
        app = AsyncApp(name="stanchion", client=self.web, signing_secret=self.settings.signing_secret or "")
        app.action(OURS)(self._on_click)
        app.view(OURS)(self._on_submit)
        return app

    async def _on_click(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        action = body["actions"][0]
        verb = action["action_id"].removeprefix(ACTION)
        if verb == "run":  # a link button; Slack opens the link by itself
            return
        button = json.loads(action["value"])
        place = Place(button["approval"], button["digest"], body["channel"]["id"], body["container"]["message_ts"])
        await self._handle(verb, place, _slack_user(body), body["trigger_id"] if verb in FORMS else None)

    async def _on_submit(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        verb = view["callback_id"].removeprefix(ACTION)
        form_input = read_form(verb, view)
        if form_input.problem:
            await ack(response_action="errors", errors={FIELD: form_input.problem[:150]})
            return
        await ack()
        await self._handle(verb, read_place(view), _slack_user(body), None, form_input)

    async def _handle(
        self, verb: str, place: Place, user: _SlackUser, trigger: str | None, form_input: FormInput | None = None
    ) -> None:
        """Open the form (if there is a `trigger`) or send the decision. Tells the user the result or the problem."""
        try:
            approval, name = await self._authorize(place, user)
            _check_subject(verb, approval, name)
            if trigger:
                await self.web.views_open(trigger_id=trigger, view=form(verb, approval, place))
                return
            reply = await self._send(verb, approval, name, place.digest, form_input or FormInput())
        except (_Refused, NotSent) as error:
            reply = str(error)
        except Transient:
            log.warning("slack.answer_lost", approval_id=place.approval, exc_info=True)
            reply = "The database does not answer; nothing was decided. Try again in a moment."
        except (SlackApiError, ClientError, TimeoutError, OSError) as error:
            log.warning("slack.form_failed", error=type(error).__name__)
            reply = "Slack did not open the form in time; click again."
        self.wake.set()
        if reply:
            await self._reply(place.channel, user.user, reply)

    async def _authorize(self, place: Place, user: _SlackUser) -> tuple[Approval, str]:
        """Return the open approval and the registered name of the user. Raises _Refused if they may not answer it."""
        approval = await self.messages.approval(place.approval)
        if approval is None or (self.settings.tenants and approval.tenant not in self.settings.tenants):
            raise _Refused("There is no such approval here.")
        if user.team != self.team:
            raise _Refused("You are from another workspace; only people of this workspace may answer here.")
        if not approval.is_open:
            await self.board.refresh(approval, place.channel, place.ts)
            raise _Refused(f"It is settled already: {STATE_LABELS.get(approval.state, approval.state)}.")
        if place.digest != approval.digest:
            raise _Refused("This card shows an earlier version of the call; nothing was decided.")
        person = await self.people.by_slack(approval.tenant, user.user)
        if person is None:
            raise _Refused(
                f"Nobody is registered as Slack user {user.user} in tenant {approval.tenant}, so this does not count."
                f" Ask an operator to run: stanchion principals add YOUR-NAME --tenant {approval.tenant}"
                f" --slack {user.user}"
            )
        return approval, person.name

    async def _send(self, verb: str, approval: Approval, by: str, digest: str, form_input: FormInput) -> str:
        """Send the decision. Returns the reply for the person; empty if the card shows the result. Raises NotSent."""
        if verb == "restate":
            await self.answers.restate(approval.run_id, by, form_input.text)
            return "Sent as your own word. If the call uses exactly this value, the run checks the call again."
        receipt = await self.answers.decide(
            approval.run_id,
            approval_id=approval.approval_id,
            verdict=VERDICTS.get(verb, verb),
            by=by,
            digest=digest,
            reason=form_input.text if verb == "deny" else None,
            arguments=form_input.arguments,
            code=form_input.text if verb == "code" else None,
            repeat=approval.repeat_most if verb == "approve-next" else 0,
        )
        if receipt.answer == "accepted":
            return receipt.reason
        return f"{receipt.answer.capitalize()}: {receipt.reason}" if receipt.reason else receipt.answer.capitalize()

    async def _reply(self, channel: str, user: str, text: str) -> None:
        """Send an ephemeral message, which only this user sees. Failures are only logged."""
        try:
            await self.web.chat_postEphemeral(
                channel=channel, user=user, text=escaped(one_line(text)), blocks=[sentence(text)], parse="none"
            )
        except SlackApiError as error:
            log.warning("slack.not_told", error=error_name(error))
        except (ClientError, TimeoutError, OSError) as error:
            log.warning("slack.not_told", error=type(error).__name__)


def _check_subject(verb: str, approval: Approval, name: str) -> None:
    """Raise _Refused if somebody other than the approval's subject tries to enter a one-time code."""
    if verb == "code" and canonical_name(name) != canonical_name(approval.subject or ""):
        raise _Refused(f"Only {approval.subject} can confirm this, with the code that was sent to them.")


def _slack_user(body: dict[str, Any]) -> _SlackUser:
    user = body["user"]
    return _SlackUser(user["id"], user.get("team_id") or (body.get("team") or {}).get("id") or "")

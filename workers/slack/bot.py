"""Turns clicks and forms in Slack into answers of the registered person."""

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
from workers.slack.cards import ACTION, BECAME
from workers.slack.config import SlackSettings
from workers.slack.message_board import MessageBoard
from workers.slack.messages import Messages
from workers.slack.modals import FIELD, Place, Typed, form, place_of, typed
from workers.slack.notifications import WakeEvent
from workers.slack.text import escaped, one_line, said
from workers.slack.web_api import error_name

OURS = re.compile(rf"^{re.escape(ACTION)}")
FORMS = frozenset(("edit", "deny", "restate", "code"))
VERDICTS = {"approve": "approve", "approve-next": "approve", "edit": "edit", "deny": "reject", "code": "approve"}

log = structlog.get_logger("stanchion.slack")


class Named(Protocol):
    """A registered person."""

    @property
    def name(self) -> str:
        """Their name, as it is decided under."""


class People(Protocol):
    """Who a Slack user is to us."""

    async def by_slack(self, tenant: str, slack_user: str) -> Named | None:
        """The person who is that Slack user in a tenant."""


class _Refused(Exception):
    """Not possible; the text is for the person who tried."""


@dataclass(frozen=True)
class _Person:
    """Who clicked, as Slack says, and in which workspace they are at home."""

    user: str
    team: str


@dataclass(frozen=True)
class Bot:
    """The listeners. Each acknowledges at once, then acts, and tells the person in a message only they see."""

    settings: SlackSettings
    team: str
    web: AsyncWebClient
    messages: Messages
    board: MessageBoard
    people: People
    answers: Answers
    bell: WakeEvent

    def app(self) -> AsyncApp:
        """The bolt app. It verifies the signature of every HTTP request."""
        app = AsyncApp(name="stanchion", client=self.web, signing_secret=self.settings.signing_secret or "")
        app.action(OURS)(self._clicked)
        app.view(OURS)(self._submitted)
        return app

    async def _clicked(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        action = body["actions"][0]
        verb = action["action_id"].removeprefix(ACTION)
        if verb == "run":  # a link; Slack opens it by itself
            return
        asked = json.loads(action["value"])
        place = Place(asked["approval"], asked["digest"], body["channel"]["id"], body["container"]["message_ts"])
        await self._act(verb, place, _person(body), body["trigger_id"] if verb in FORMS else None)

    async def _submitted(self, ack: AsyncAck, body: dict[str, Any], view: dict[str, Any]) -> None:
        verb = view["callback_id"].removeprefix(ACTION)
        answer = typed(verb, view)
        if answer.problem:
            await ack(response_action="errors", errors={FIELD: answer.problem[:150]})
            return
        await ack()
        await self._act(verb, place_of(view), _person(body), None, answer)

    async def _act(
        self, verb: str, place: Place, person: _Person, trigger: str | None, answer: Typed | None = None
    ) -> None:
        """Open the form, or send the answer; whatever goes wrong is told to who clicked."""
        try:
            approval, name = await self._admit(place, person)
            _check_subject(verb, approval, name)
            if trigger:
                await self.web.views_open(trigger_id=trigger, view=form(verb, approval, place))
                return
            told = await self._send(verb, approval, name, place.digest, answer or Typed())
        except (_Refused, NotSent) as refused:
            told = str(refused)
        except Transient:
            log.warning("slack.answer_lost", approval_id=place.approval, exc_info=True)
            told = "The database does not answer; nothing was decided. Try again in a moment."
        except (SlackApiError, ClientError, TimeoutError, OSError) as error:
            log.warning("slack.form_failed", error=type(error).__name__)
            told = "Slack did not open the form in time; click again."
        self.bell.ring()
        if told:
            await self._tell(place.channel, person.user, told)

    async def _admit(self, place: Place, person: _Person) -> tuple[Approval, str]:
        """The approval and the name of the person, if they may speak at all. Raises _Refused."""
        approval = await self.messages.approval(place.approval)
        if approval is None or (self.settings.tenants and approval.tenant not in self.settings.tenants):
            raise _Refused("There is no such approval here.")
        if person.team != self.team:
            raise _Refused("You are from another workspace; only people of this one answer here.")
        if not approval.is_open:
            await self.board.refresh(approval, place.channel, place.ts)
            raise _Refused(f"It is settled already: {BECAME.get(approval.state, approval.state)}.")
        if place.digest != approval.digest:
            raise _Refused("This card shows another call than the one that is asked about now; nothing was decided.")
        known = await self.people.by_slack(approval.tenant, person.user)
        if known is None:
            raise _Refused(
                f"Nobody is registered as Slack user {person.user} in tenant {approval.tenant}, so this does not count."
                f" Ask an operator to run: stanchion principals add YOUR-NAME --tenant {approval.tenant}"
                f" --slack {person.user}"
            )
        return approval, known.name

    async def _send(self, verb: str, approval: Approval, by: str, digest: str, answer: Typed) -> str:
        """Send the answer; what to tell the person, or nothing: the card says it. Raises NotSent."""
        if verb == "restate":
            await self.answers.restate(approval.run_id, by, answer.text)
            return "Sent as your own word. The run checks the call again when it is the value that the call uses."
        receipt = await self.answers.decide(
            approval.run_id,
            approval_id=approval.approval_id,
            verdict=VERDICTS.get(verb, verb),
            by=by,
            digest=digest,
            reason=answer.text if verb == "deny" else None,
            arguments=answer.arguments,
            code=answer.text if verb == "code" else None,
            repeat=approval.repeat_most if verb == "approve-next" else 0,
        )
        if receipt.answer == "accepted":
            return receipt.reason
        return f"{receipt.answer.capitalize()}: {receipt.reason}" if receipt.reason else receipt.answer.capitalize()

    async def _tell(self, channel: str, user: str, text: str) -> None:
        try:
            await self.web.chat_postEphemeral(
                channel=channel, user=user, text=escaped(one_line(text)), blocks=[said(text)], parse="none"
            )
        except SlackApiError as error:
            log.warning("slack.not_told", error=error_name(error))
        except (ClientError, TimeoutError, OSError) as error:
            log.warning("slack.not_told", error=type(error).__name__)


def _check_subject(verb: str, approval: Approval, name: str) -> None:
    """Only whom the call is about enters the code: nobody else tries codes, or asks for one. Raises _Refused."""
    if verb == "code" and canonical_name(name) != canonical_name(approval.subject or ""):
        raise _Refused(f"Only {approval.subject} confirms this, with the code that was sent to them.")


def _person(body: dict[str, Any]) -> _Person:
    user = body["user"]
    return _Person(user["id"], user.get("team_id") or (body.get("team") or {}).get("id") or "")

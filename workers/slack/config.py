"""What the Slack bot is told. Read from the environment by `workers.settings`; nothing here looks at it."""

from dataclasses import dataclass, field
from typing import Literal

from activities.errors import Permanent

SLACK_API = "https://slack.com/api/"


class SlackMisconfigured(Permanent):
    """A setting of the Slack bot is missing or cannot be right; the text names it."""


@dataclass(frozen=True)
class SlackSettings:
    """Tokens, channels and addresses. Values of secrets are never shown."""

    bot_token: str | None = field(default=None, repr=False)  # xoxb-…: what it posts with
    app_token: str | None = field(default=None, repr=False)  # xapp-…: Socket Mode; without it, HTTP
    signing_secret: str | None = field(default=None, repr=False)  # HTTP: proves that a request is Slack's
    channel: str | None = None  # where approvals are posted
    escalation_channel: str | None = None  # and where as well, once they escalate
    tenants: tuple[str, ...] = ()  # only these tenants' approvals; empty: of every tenant
    listen: str = "127.0.0.1:3000"  # HTTP: where Slack's requests arrive, behind your TLS
    web_ui: str | None = None  # Temporal's Web UI as the approvers reach it
    api_url: str = SLACK_API

    @property
    def transport(self) -> Literal["socket", "http"]:
        """Socket Mode if there is an app token: then nothing has to be reachable from outside."""
        return "socket" if self.app_token else "http"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`. Raises SlackMisconfigured."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise SlackMisconfigured(f"STANCHION_SLACK_LISTEN is host:port, not {self.listen!r}")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def check(self) -> None:
        """Raises SlackMisconfigured for what is missing or plainly wrong."""
        if not (self.bot_token or "").startswith("xoxb-"):
            raise SlackMisconfigured("STANCHION_SLACK_BOT_TOKEN is the bot's token, which begins with xoxb-")
        if not self.channel:
            raise SlackMisconfigured("STANCHION_SLACK_CHANNEL is the id of the channel to post to, such as C0123456789")
        if self.app_token and not self.app_token.startswith("xapp-"):
            raise SlackMisconfigured("STANCHION_SLACK_APP_TOKEN is an app-level token, which begins with xapp-")
        if self.transport == "http":
            if not self.signing_secret:
                raise SlackMisconfigured(
                    "set STANCHION_SLACK_APP_TOKEN for Socket Mode, or STANCHION_SLACK_SIGNING_SECRET for HTTP:"
                    " without the secret anyone could press the buttons"
                )
            _ = self.address

"""SlackSettings: the settings of the Slack bot, which `workers.settings` reads from the environment."""

from dataclasses import dataclass, field
from typing import Literal

from activities.errors import Permanent

SLACK_API = "https://slack.com/api/"


class SlackMisconfigured(Permanent):
    """A setting of the Slack bot is missing or invalid; the text names it."""


@dataclass(frozen=True)
class SlackSettings:
    """Tokens, channels and addresses. Its `repr` contains no secrets."""

    bot_token: str | None = field(default=None, repr=False)  # xoxb-…: posts messages
    app_token: str | None = field(default=None, repr=False)  # xapp-…: for Socket Mode; without it, HTTP is used
    signing_secret: str | None = field(default=None, repr=False)  # HTTP: proves that a request comes from Slack
    channel: str | None = None  # where approvals are posted
    escalation_channel: str | None = None  # where approvals are also posted once they escalate
    tenants: tuple[str, ...] = ()  # the tenants whose approvals are shown; empty: all tenants
    listen: str = "127.0.0.1:3000"  # HTTP: where requests from Slack arrive, behind a proxy that terminates TLS
    web_ui: str | None = None  # the address of Temporal's Web UI for approvers
    api_url: str = SLACK_API

    @property
    def transport(self) -> Literal["socket", "http"]:
        """Socket Mode if there is an app token; then the bot need not be reachable from outside."""
        return "socket" if self.app_token else "http"

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of `listen`. Raises SlackMisconfigured."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise SlackMisconfigured(f"STANCHION_SLACK_LISTEN is host:port, not {self.listen!r}")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def check(self) -> None:
        """Raise SlackMisconfigured if a setting is missing or has the wrong form."""
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

"""`stanchion slack`: the bot in the foreground, until it is told to stop."""

import asyncio

from workers import keys
from workers.cli.output import Exit, fail, run, say
from workers.cli.temporal_session import session
from workers.logs import configure
from workers.serve import stop_on_signals
from workers.services import Home
from workers.settings import from_environment

KEY = "slack"  # the name of the surface's key


def serve() -> None:
    """Show approvals in Slack and take the answers given there."""
    try:
        from workers.slack.serve import serve as serve_slack
    except ImportError as error:
        fail(f"{error}: the Slack bot needs the extra `slack` (requirements/slack.txt)", Exit.USAGE)
    settings = from_environment()
    configure(settings.log_format)

    async def work() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        signer = _signer(settings.dangerously_accept_unsigned_decisions)
        async with session() as opened:
            await serve_slack(opened, settings.slack, signer, stop, lambda where: say(f"Slack: {where}"))

    run(work())


def _signer(unsigned_will_do: bool) -> keys.Signer | None:
    """The surface's key. Without one, answers go unsigned, which only a development worker takes."""
    try:
        return keys.load(Home.locate(), KEY)
    except keys.KeyMissing as missing:
        if not unsigned_will_do:
            raise
        say(f"stanchion: {missing}; answers go out unsigned, for development only")
        return None

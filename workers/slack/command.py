"""The body of `stanchion slack`, which runs the bot in the foreground until it is stopped."""

import asyncio

from workers import keys
from workers.cli.output import Exit, fail, run, say
from workers.cli.temporal_session import open_session
from workers.logs import configure
from workers.serve import stop_on_signals
from workers.services import Home
from workers.settings import from_environment

KEY = "slack"  # the name of the key that signs for people whom Slack authenticates


def serve() -> None:
    """`stanchion slack`: runs the bot until Ctrl-C or SIGTERM."""
    try:
        from workers.slack.serve import serve as serve_slack
    except ImportError as error:
        fail(f"{error}: the Slack bot needs the extra `slack` (requirements/slack.txt)", Exit.USAGE)
    settings = from_environment()
    configure(settings.log_format)

    async def work() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        signer = _load_signer(allow_unsigned=settings.dangerously_accept_unsigned_decisions)
        async with open_session() as session:
            await serve_slack(session, settings.slack, signer, stop, lambda where: say(f"Slack: {where}"))

    run(work())


def _load_signer(*, allow_unsigned: bool) -> keys.Signer | None:
    """Load the bot's key. If there is none, returns None if `allow_unsigned`, else raises KeyMissing."""
    try:
        return keys.load(Home.locate(), KEY)
    except keys.KeyMissing as missing:
        if not allow_unsigned:
            raise
        say(f"stanchion: {missing}; decisions are sent unsigned, for development only")
        return None

"""Runs the bot: signs in to Slack, listens to Postgres, and receives clicks over Socket Mode or HTTP."""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import structlog
from aiohttp import ClientError, web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from activities.errors import Permanent
from activities.identity.principals import Principals
from workers.cli_connection import Session
from workers.slack.answers import Answers, SurfaceKey
from workers.slack.bot import Bot
from workers.slack.config import SlackSettings
from workers.slack.message_board import POLL_SECONDS, MessageBoard
from workers.slack.messages import Messages
from workers.slack.notifications import WakeEvent, listen
from workers.slack.web_api import client_with_retries, client_without_retries, error_name, quiet_seconds

PATH = "/slack/events"  # the path of the app's request URL
RETRY_SECONDS = 5.0  # between two attempts to sign in
PING_SECONDS = 5.0  # ping interval of the WebSocket: a dead connection is noticed after four, a closed one after one

log = structlog.get_logger("stanchion.slack")


class SlackRefused(Permanent):
    """Slack does not accept a token; the text says which."""


async def serve(
    session: Session,
    settings: SlackSettings,
    signer: SurfaceKey | None,
    stop: asyncio.Event,
    ready: Callable[[str], None] | None = None,
    *,
    poll_seconds: float = POLL_SECONDS,
    ping_seconds: float = PING_SECONDS,
) -> None:
    """Run until `stop` is set. Calls `ready` with where clicks arrive. Raises SlackMisconfigured, SlackRefused."""
    settings.check()
    team = await _sign_in(settings, stop)
    if team is None:
        return
    wake, messages = WakeEvent(), Messages(session.database, _replica_name())
    link = _run_link(session, settings)
    board = MessageBoard(settings, client_without_retries(settings), messages, link, poll_seconds)
    answers = Answers(session.client, signer)
    people = Principals(session.database)
    app = Bot(settings, team, client_with_retries(settings), messages, board, people, answers, wake).app()
    async with _transport(app, settings, ping_seconds) as where:
        if ready:
            ready(where)
        await _run_until_first_ends(board.run(wake), listen(session.database.url, wake), stop.wait())


async def _run_until_first_ends(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Run the coroutines until the first one ends, and cancel the others. Raises the error of the first one."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sign_in(settings: SlackSettings, stop: asyncio.Event) -> str | None:
    """Check the tokens and return our workspace's id; None if `stop` was set first. Raises SlackRefused."""
    client = client_without_retries(settings)
    while not stop.is_set():
        try:
            return await _check_tokens(client, settings)
        except SlackApiError as error:
            seconds = quiet_seconds(error)
            if seconds is None and getattr(error.response, "status_code", 500) < 500:
                raise SlackRefused(_refusal_text(error)) from None
            log.warning("slack.unreachable", error=error_name(error))
        except (ClientError, TimeoutError, OSError) as error:
            seconds = None
            log.warning("slack.unreachable", error=type(error).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds or RETRY_SECONDS)
    return None


async def _check_tokens(client: AsyncWebClient, settings: SlackSettings) -> str:
    identity = await client.auth_test()
    if settings.app_token:
        await client.apps_connections_open(app_token=settings.app_token)
    return str(identity["team_id"])


def _refusal_text(error: SlackApiError) -> str:
    name = error_name(error)
    if "apps.connections.open" in str(getattr(error.response, "api_url", "")):
        return f"Slack refuses STANCHION_SLACK_APP_TOKEN ({name}): make one with the scope connections:write"
    return f"Slack refuses STANCHION_SLACK_BOT_TOKEN ({name}): copy the app's bot token again"


@asynccontextmanager
async def _transport(app: AsyncApp, settings: SlackSettings, ping_seconds: float) -> AsyncIterator[str]:
    """Receive clicks during the `async with`; yields where they arrive, as text."""
    transport = _http(app, settings) if settings.transport == "http" else _socket(app, settings, ping_seconds)
    async with transport as where:
        yield where


@asynccontextmanager
async def _socket(app: AsyncApp, settings: SlackSettings, ping_seconds: float) -> AsyncIterator[str]:
    handler: Any = AsyncSocketModeHandler(app, settings.app_token, ping_interval=ping_seconds)
    connecting = asyncio.create_task(handler.connect_async())  # retries by itself, while the board already works
    try:
        yield "Socket Mode"
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await handler.close_async()


@asynccontextmanager
async def _http(app: AsyncApp, settings: SlackSettings) -> AsyncIterator[str]:
    async def receive(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    site = web.Application()
    site.router.add_post(PATH, receive)
    runner = web.AppRunner(site)
    await runner.setup()
    try:
        await web.TCPSite(runner, *settings.address).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}{PATH}"
    finally:
        await runner.cleanup()


def _run_link(session: Session, settings: SlackSettings) -> Callable[[str], str | None]:
    """Return a function from a run's id to the URL of its page in the Web UI."""
    if not settings.web_ui:
        return session.link
    prefix = f"{settings.web_ui.rstrip('/')}/namespaces/{session.temporal.namespace}/workflows/"
    return lambda run_id: prefix + quote(run_id, safe="")


def _replica_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

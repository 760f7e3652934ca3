"""Calls Anthropic: one streamed request, and what each failure means. Imports the SDK on first use."""

import asyncio
import importlib
import ipaddress
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from activities.errors import StanchionError
from activities.model.anthropic.answer import Answer
from activities.model.anthropic.events import Body, Deviation
from activities.model.anthropic.request import request_body
from activities.model.errors import (
    ModelAnswerGarbled,
    ModelCallsForbidden,
    ModelMisconfigured,
    ModelRequestRejected,
    ModelSpeaksOtherwise,
    ModelUnavailable,
    ModelUnreachable,
    error_for,
    is_about_the_account,
    is_content_filter,
    model_error,
)
from activities.model.provider import Completion, Prompt, Usage
from activities.model.vendor_outages import account_digest
from activities.storage.canonical import clean_text

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic

DEFAULT_BASE_URL = "https://api.anthropic.com"
SILENCE = timedelta(seconds=60)  # the API pings about every 10 s while it streams; six missed pings is a dead line
STALL = timedelta(minutes=10)  # of nothing but pings; longer than any pause that a model at work was seen to make
CONNECT = timedelta(seconds=5)  # a connection that takes longer is retried sooner by Temporal than waited for here

# A spend limit answers 429 like a rate limit, but waiting does not help: someone has to raise it.
_SPENT = ("contract_spend_limit_reached", "enforced_spend_limit_reached")


class AnthropicProvider:
    """`anthropic:<model id>`. The key and the address are given by the worker; the environment is not read here."""

    def __init__(
        self,
        *,
        api_key: str | None,
        base_url: str | None = None,
        loopback_only: bool = False,
        silence: timedelta = SILENCE,
        stall: timedelta = STALL,
    ) -> None:
        """`loopback_only` refuses every call that would leave the machine.

        `silence` is the longest gap in a stream, `stall` the longest time with nothing but pings. The length of an
        answer is not bounded: one that goes on is worth waiting for.
        """
        self._api_key = (api_key or "").strip()  # a file or a secret often ends with a newline
        self._base_url = (base_url or "").strip() or DEFAULT_BASE_URL
        self._account = account_digest(self._base_url, self._api_key)
        self._unusable = _refusal_of(self._api_key, self._base_url, loopback_only)
        self._silence = silence
        self._stall = stall
        self._client: AsyncAnthropic | None = None
        self._building = asyncio.Lock()

    async def complete(self, prompt: Prompt, beat: Callable[[], None]) -> Completion:
        """Call the model once. Raises only the errors of `activities.model.errors`; see `Provider`."""
        if self._unusable:
            raise model_error(*self._unusable)
        client = await self._connected()
        body = request_body(prompt)
        from anthropic import AnthropicError, APIConnectionError, APIStatusError
        from httpx2 import ConnectError, ConnectTimeout, HTTPError, ProxyError, TimeoutException, UnsupportedProtocol

        try:
            return await self._stream(client, body, prompt.step, beat)
        except APIStatusError as error:
            if is_content_filter(error.type, error.error_code, error.api_message):
                return Completion(blocks=(), stop_reason="refusal", usage=Usage(), model=prompt.model)
            if await _does_not_fit(client, body, error):
                return Completion(blocks=(), stop_reason="context_exceeded", usage=Usage(), model=prompt.model)
            raise _error_for(error) from error
        except (APIConnectionError, TimeoutException) as error:
            cause = error.__cause__ or error
            if isinstance(cause, (ProxyError, UnsupportedProtocol)):
                raise model_error(ModelMisconfigured, clean_text(f"{type(cause).__name__}: {cause}")) from error
            kind = ModelUnavailable if isinstance(cause, (ConnectError, ConnectTimeout)) else ModelUnreachable
            raise model_error(kind, type(cause).__name__) from error
        except HTTPError as error:
            raise model_error(ModelAnswerGarbled, type(error).__name__) from error
        except AnthropicError as error:
            raise model_error(ModelRequestRejected, str(error)) from error

    async def count(self, prompt: Prompt) -> int | None:
        """By the vendor's `count_tokens`, which is free; None if it does not answer."""
        if self._unusable:
            return None
        client, body = await self._connected(), request_body(prompt)
        from anthropic import AnthropicError

        try:
            counted = await client.messages.count_tokens(**_countable(body))
        except AnthropicError:
            return None
        return counted.input_tokens

    def account(self, model: str) -> str:
        """A digest of the address and the key."""
        return self._account

    async def close(self) -> None:
        """Close the connections; the provider may be used again and then opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _stream(
        self, client: "AsyncAnthropic", body: dict[str, Any], step: int, beat: Callable[[], None]
    ) -> Completion:
        """Send `body` and read the answer as it is on the wire: the SDK hides pings and reads arguments loosely.

        It is read to its own end and not to the end of the body: a gateway may keep the line open, or ping on it.
        """
        from httpx2 import HTTPError

        answer = Answer(step)
        async with client.messages.with_streaming_response.create(**body) as response:
            http = response.http_response
            try:
                await self._read(Body(http.aiter_bytes()), answer, beat)
                return answer.completion()
            except HTTPError:
                if not answer.has_stopped:  # a line that breaks after the last word costs nothing
                    raise
                return answer.completion()
            except Deviation as odd:
                sender = f"{self._base_url} (server: {http.headers.get('server', 'not named')})"
                raise model_error(ModelSpeaksOtherwise, clean_text(f"{odd}; sent by {sender}")) from odd

    async def _read(self, body: Body, answer: Answer, beat: Callable[[], None]) -> None:
        """Read until the answer is over, or no more comes. Raises ModelUnreachable when only pings come."""
        if await body.is_document():
            answer.take_whole(await body.document())
            return
        pieces, last = 0, time.monotonic()
        async for data in body.events():
            beat()
            answer.take(data)
            if answer.is_over:
                return
            if answer.pieces > pieces:
                pieces, last = answer.pieces, time.monotonic()
            elif time.monotonic() - last > self._stall.total_seconds():
                raise model_error(ModelUnreachable, f"nothing but pings for {self._stall}")

    async def _connected(self) -> "AsyncAnthropic":
        """The client, built once. The import takes seconds, so it runs beside the event loop and heartbeats go on."""
        async with self._building:
            if self._client is None:
                await asyncio.to_thread(importlib.import_module, "anthropic")
                self._client = self._connect(self._api_key)
            return self._client

    def _connect(self, api_key: str) -> "AsyncAnthropic":
        from anthropic import AsyncAnthropic
        from httpx2 import Timeout

        return AsyncAnthropic(
            api_key=api_key,
            base_url=self._base_url,
            max_retries=0,  # retries are Temporal's
            timeout=Timeout(self._silence.total_seconds(), connect=CONNECT.total_seconds()),
            open_telemetry={},  # its spans, without content; given here, so that it reads no environment
        )


def _refusal_of(key: str, url: str, loopback_only: bool) -> tuple[type[StanchionError], str] | None:
    """Why nothing can be sent with these settings: the kind of error and its text; None if it can."""
    if loopback_only and not is_loopback(url):
        return ModelCallsForbidden, _host_of(url) or url
    flaw = _flaw_in(key, url)
    return (ModelMisconfigured, flaw) if flaw else None


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _flaw_in(key: str, url: str) -> str | None:
    """What is wrong with the settings, so that nothing is sent; never shows the key."""
    if not key:
        return "this worker was given no key for anthropic: set ANTHROPIC_API_KEY"
    if not (key.isascii() and key.isprintable()) or " " in key:
        return "ANTHROPIC_API_KEY has a character in it that no key has; copy it again"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    return None if usable else f"ANTHROPIC_BASE_URL is no address that starts with http:// or https://: {url!r}"


def is_loopback(url: str) -> bool:
    """Whether `url` names this machine: `localhost` or a loopback address. Any other name may lead elsewhere."""
    host = _host_of(url) or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _countable(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("model", "messages", "system", "tools") if key in body}


async def _does_not_fit(client: "AsyncAnthropic", body: dict[str, Any], error: "APIStatusError") -> bool:
    """Whether a refused prompt is too long, which the API says in words only: a 400 of no further type or code.

    Words are not evidence, so it is measured: the tokens of the prompt (counting is free) and the answer asked for
    against the window of the model. 413 says so by its status. If the measurement fails, the prompt is not too long.
    """
    if error.status_code != 400 or error.error_code is not None:
        return error.status_code == 413
    from anthropic import AnthropicError

    try:
        counted = await client.messages.count_tokens(**_countable(body))
        window = (await client.models.retrieve(body["model"])).max_input_tokens
    except AnthropicError:
        return False
    return window is not None and counted.input_tokens + body["max_tokens"] > window


def _error_for(error: "APIStatusError") -> StanchionError:
    """What a refused request means, by its status and its code."""
    said = clean_text(f"{error.status_code} {error.type}: {error.api_message}, request {error.request_id}")
    spent = error.error_code in _SPENT
    if spent or (error.status_code == 400 and is_about_the_account(error.type, error.error_code, error.api_message)):
        return error_for(402, {}, said)
    status = error.status_code
    return error_for(status, error.response.headers, said)

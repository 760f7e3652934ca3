"""The call itself: beats, lines that fail, the key and address that are used, and what may leave this machine."""

import asyncio
from datetime import timedelta

import pytest

from activities.model.anthropic import AnthropicProvider, is_loopback
from activities.model.errors import ModelCallsForbidden, ModelMisconfigured, ModelUnavailable, ModelUnreachable
from activities.model.provider import Text
from activities.model.providers import Providers
from tests.activities.asking import Ask, nothing, prompt
from tests.fakes.anthropic_api import FakeAnthropic, Streamed, text


async def test_every_event_is_a_beat_and_pings_are_events(api: FakeAnthropic, provider: AnthropicProvider) -> None:
    gate, beats = asyncio.Event(), []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 20:  # the answer starts only once the pings before it were felt
            gate.set()

    api.will(Streamed((text("late"),), gate=gate))
    async with asyncio.timeout(10):
        assert (await provider.complete(prompt(), beat)).blocks == (Text(text="late"),)
    assert len(beats) > 20


async def test_no_one_listening_is_unavailable(unused_tcp_port: int) -> None:
    provider = AnthropicProvider(api_key="sk-test", base_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(ModelUnavailable):
        await provider.complete(prompt(), nothing)
    await provider.close()


async def test_a_line_that_stays_silent_is_unreachable() -> None:
    connected = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read(-1)  # until the client gives up
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    provider = AnthropicProvider(api_key="sk-test", base_url=url, silence=timedelta(milliseconds=200))
    async with server:
        with pytest.raises(ModelUnreachable):
            await provider.complete(prompt(), nothing)
        await provider.close()
    assert connected.is_set()


async def test_a_cancelled_call_lets_go_of_its_connection(api: FakeAnthropic, provider: AnthropicProvider) -> None:
    gate, felt = asyncio.Event(), asyncio.Event()
    api.will(Streamed((text("late"),), gate=gate), Streamed((text("next"),)))
    call = asyncio.create_task(provider.complete(prompt(), felt.set))
    await felt.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    gate.set()
    assert (await provider.complete(prompt(), nothing)).blocks == (Text(text="next"),)


# --- who may be called


async def test_a_worker_without_a_key_says_so_and_reads_no_environment(
    api: FakeAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-from-the-environment")
    with pytest.raises(ModelMisconfigured, match="no key"):
        await AnthropicProvider(api_key=None, base_url=api.base_url).complete(prompt(), nothing)
    assert api.requests == []


async def test_the_address_given_goes_before_the_environments(
    api: FakeAnthropic, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    api.will(Streamed((text("ok"),)))
    assert (await ask()).blocks == (Text(text="ok"),)


@pytest.mark.parametrize(
    "base_url", [None, "https://api.anthropic.com", "http://127.0.0.1.evil.example", "http://10.0.0.1"]
)
async def test_with_real_calls_forbidden_nothing_leaves_this_machine(base_url: str | None) -> None:
    providers = Providers(anthropic_api_key="sk-test", anthropic_base_url=base_url, forbid_real_calls=True)
    provider, model = providers.for_model("anthropic:claude-test-1")
    with pytest.raises(ModelCallsForbidden):
        await provider.complete(prompt(model=model), nothing)
    await providers.close()


async def test_with_real_calls_forbidden_a_local_server_still_answers(api: FakeAnthropic) -> None:
    providers = Providers(anthropic_api_key="sk-test", anthropic_base_url=api.base_url, forbid_real_calls=True)
    api.will(Streamed((text("ok"),)))
    provider, model = providers.for_model("anthropic:claude-test-1")
    assert (await provider.complete(prompt(model=model), nothing)).blocks == (Text(text="ok"),)
    assert api.messages[0].body["model"] == "claude-test-1"
    await providers.close()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8080/x", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:1", True),
        ("http://localhost.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("http://0.0.0.0", False),
        ("nonsense", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(url: str, local: bool) -> None:
    assert is_loopback(url) is local

"""Fixtures: Anthropic's API as a local server, and the provider pointed at it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.model.anthropic import AnthropicProvider
from activities.model.provider import Completion, Message
from tests.activities.asking import Ask, nothing, prompt
from tests.fakes.anthropic_api import FakeAnthropic


@pytest.fixture
async def provider(api: FakeAnthropic) -> AsyncIterator[AnthropicProvider]:
    """The provider under test, pointed at the server."""
    made = AnthropicProvider(api_key="sk-test", base_url=api.base_url, loopback_only=True)
    yield made
    await made.close()


@pytest.fixture
def ask(provider: AnthropicProvider) -> Ask:
    """Ask once, with whatever messages."""

    async def asked(*messages: Message, **changes: Any) -> Completion:
        return await provider.complete(prompt(*messages, **changes), nothing)

    return asked

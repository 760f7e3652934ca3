"""Finds the provider for a model's name by the part before the first colon. Refuses unknown ones."""

from collections.abc import Mapping
from datetime import timedelta

from activities.model.anthropic import AnthropicProvider
from activities.model.anthropic.provider import SILENCE
from activities.model.errors import ModelUnknown
from activities.model.provider import Provider
from activities.model.scripted import ScriptedProvider
from activities.model.vendor_outages import VendorAccount


class Providers:
    """The providers of one worker. Close it when the worker stops."""

    def __init__(
        self,
        *,
        anthropic_api_key: str | None = None,
        anthropic_base_url: str | None = None,
        forbid_real_calls: bool = False,
        anthropic_silence: timedelta = SILENCE,
    ) -> None:
        """`forbid_real_calls`: a call that would leave this machine raises `ModelCallsForbidden` (tests, demos)."""
        self._anthropic = AnthropicProvider(
            api_key=anthropic_api_key,
            base_url=anthropic_base_url,
            loopback_only=forbid_real_calls,
            silence=anthropic_silence,
        )
        self._known: Mapping[str, Provider] = {"anthropic": self._anthropic, "scripted": ScriptedProvider()}

    def for_model(self, model: str) -> tuple[Provider, str]:
        """The provider of `model` and the name it knows the model by. Raises `ModelUnknown`, naming the known ones."""
        prefix, _, name = model.partition(":")
        if prefix not in self._known or not name:
            known = ", ".join(f"{each}:…" for each in sorted(self._known))
            raise ModelUnknown(f"There is no provider for the model {model!r}; known are {known}.")
        return self._known[prefix], name

    def account(self, model: str) -> VendorAccount:
        """What a call of `model` depends on, for outages. Raises `ModelUnknown`."""
        provider, name = self.for_model(model)
        vendor = model.partition(":")[0]
        return VendorAccount(vendor, name, provider.account(name))

    async def close(self) -> None:
        """Close every connection."""
        await self._anthropic.close()

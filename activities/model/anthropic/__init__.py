"""Anthropic's Messages API as a provider: one streamed request, without retries of its own.

Three parts: what is sent (`request`), how the events of an answer become blocks (`answer`), and the call (`provider`).
The API has no idempotency key: an attempt that broke off may have been billed, and asking again bills again.
"""

from activities.model.anthropic.provider import AnthropicProvider, is_loopback

__all__ = ["AnthropicProvider", "is_loopback"]

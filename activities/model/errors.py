"""Errors of a model call, named by what to do next, and the table from an HTTP answer to each.

A prompt that does not fit the context window is no error: it is `Completion.stop_reason == "context_exceeded"`.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from activities.errors import Permanent, StanchionError, Transient

# A vendor that asks for more than this is down or out of quota; a shorter look costs one refused request.
LONGEST_RETRY_AFTER = timedelta(days=1)


class ModelOverloaded(Transient):
    """The model's servers are overloaded; try again later."""


class ModelRateLimited(Transient):
    """The key's rate limit is used up; try again after the time the provider gave."""


class ModelUnavailable(Transient):
    """The provider could not be reached, or answered that it failed before it began; nothing was billed; try again."""


class ModelUnreachable(Transient):
    """The provider did not answer in time, or the line broke; try again. This attempt may have been billed."""


class ModelAnswerGarbled(Transient):
    """The answer was cut off or cannot be read; ask again. Tokens of this attempt may have been billed."""


class ModelBrokeOff(Transient):
    """The model's servers failed in the middle of an answer; ask again. This attempt may have been billed."""


class ModelSpeaksOtherwise(Permanent):
    """The answer is not in the API's format; correct the base URL, or the gateway between this worker and the model."""


class ModelKeyRejected(Permanent):
    """The provider refuses the key or the account behind it; check the key, its permissions and the billing."""


class ModelMisconfigured(Permanent):
    """The address, the key or the proxy for the model's vendor cannot be used as it is set; correct the setting."""


class ModelRequestRejected(Permanent):
    """The provider refuses the request as it stands; the same request will be refused again."""


class ModelUnknown(Permanent):
    """There is no such model or provider; correct the model's name in the agent."""


class ModelCallsForbidden(Permanent):
    """Calls to real models are switched off in this process; point the base URL at a loopback address."""


class ScriptBroken(Permanent):
    """The script that stands in for a model is missing, wrong or over; correct the script."""


# Status -> error, after https://platform.claude.com/docs/en/api/errors; other vendors use a subset of the same codes.
ERRORS_BY_STATUS: Mapping[int, type[StanchionError]] = {
    400: ModelRequestRejected,
    401: ModelKeyRejected,
    402: ModelKeyRejected,
    403: ModelKeyRejected,
    404: ModelUnknown,
    407: ModelMisconfigured,  # a proxy between us and the vendor wants to know who asks
    408: ModelUnreachable,
    409: ModelUnavailable,
    413: ModelRequestRejected,
    422: ModelRequestRejected,
    429: ModelRateLimited,
    451: ModelKeyRejected,  # not in this region
    503: ModelOverloaded,
    504: ModelUnreachable,  # somebody between us and the model gave up waiting for it
    529: ModelOverloaded,
}


def error_for(status: int, headers: Mapping[str, str], message: str) -> StanchionError:
    """The error for an HTTP answer of `status` (400 and above), with the provider's `retry-after` if it may be retried.

    Statuses without a row: 5xx is `ModelUnavailable`, everything else `ModelRequestRejected`.
    """
    kind = ERRORS_BY_STATUS.get(status, ModelUnavailable if status >= 500 else ModelRequestRejected)
    return model_error(kind, message, retry_after(headers))


# A 400 that no other request of this account would get around, which Anthropic says by type or in words only.
_ACCOUNT_TYPES = ("billing_error", "permission_error", "authentication_error")
_ACCOUNT_WORDS = ("credit balance is too low", "organization has been disabled", "insufficient_quota", "billing")


def is_about_the_account(kind: object, code: object, message: object) -> bool:
    """Whether a 400 is about the key, the balance or the organisation, and not about this request."""
    said = f"{code or ''} {message or ''}".lower()
    return kind in _ACCOUNT_TYPES or code in _ACCOUNT_TYPES or any(words in said for words in _ACCOUNT_WORDS)


# How vendors and gateways say that a filter stopped an answer: by type or code, and Anthropic in words only.
_CONTENT_FILTERS = ("content_filter", "content_policy_violation", "content_filtered", "responsible_ai_policy_violation")
_CONTENT_FILTER_WORDS = ("blocked by content filtering policy", "content management policy")


def is_content_filter(kind: object, code: object, message: object) -> bool:
    """Whether an error says that a content filter stopped the answer: the model refuses, the request is not broken."""
    said = str(message or "").lower()
    return kind in _CONTENT_FILTERS or code in _CONTENT_FILTERS or any(words in said for words in _CONTENT_FILTER_WORDS)


def model_error(kind: type[StanchionError], message: str, after: timedelta | None = None) -> StanchionError:
    """An error of `kind`, led by the sentence that says what to do; `after` is kept where a retry makes sense."""
    text = f"{(kind.__doc__ or '').strip()} [{message}]"
    return kind(text, retry_after=after) if issubclass(kind, Transient) else kind(text)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the provider asks to wait: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.

    None if it asks for nothing, for nonsense, or for a moment that has passed; at most `LONGEST_RETRY_AFTER`.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = milliseconds / 1000 if milliseconds is not None else _seconds(headers.get("retry-after"))
    if seconds is None or seconds <= 0:
        return None
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))


def _seconds(value: str | None) -> float | None:
    """`value` in seconds from now, whether it is a number or a date."""
    number = _number(value)
    if number is not None or value is None:
        return number
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _number(value: str | None) -> float | None:
    """`value` as a finite number, else None."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None

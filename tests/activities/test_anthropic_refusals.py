"""What a refusal means: its type says what to do next, how long to wait is the API's word, too long is an answer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from activities.boundary import to_application_error
from activities.errors import StanchionError
from activities.model.errors import (
    LONGEST_RETRY_AFTER,
    ModelAnswerGarbled,
    ModelBrokeOff,
    ModelKeyRejected,
    ModelOverloaded,
    ModelRateLimited,
    ModelRequestRejected,
    ModelUnavailable,
    ModelUnknown,
    ModelUnreachable,
)
from activities.model.provider import Text, Usage
from tests.activities.asking import Ask
from tests.fakes.anthropic_api import FakeAnthropic, Raw, Refused, Streamed, sse, text


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (Refused(400, "invalid_request_error"), ModelRequestRejected),
        (Refused(401, "authentication_error"), ModelKeyRejected),
        (Refused(402, "billing_error"), ModelKeyRejected),
        (Refused(403, "permission_error"), ModelKeyRejected),
        (Refused(404, "not_found_error"), ModelUnknown),
        (Refused(408, "timeout_error"), ModelUnreachable),
        (Refused(418), ModelRequestRejected),
        (Refused(429, "rate_limit_error"), ModelRateLimited),
        (Refused(429, "rate_limit_error", code="enforced_spend_limit_reached"), ModelKeyRejected),
        (Refused(409), ModelUnavailable),
        (Refused(500), ModelUnavailable),
        (Refused(502), ModelUnavailable),
        (Refused(503), ModelOverloaded),
        (Refused(504, "timeout_error"), ModelUnreachable),
        (Refused(529, "overloaded_error"), ModelOverloaded),
    ],
)
async def test_a_refusal_says_by_its_type_what_to_do_and_is_asked_for_once(
    api: FakeAnthropic, ask: Ask, refused: Refused, kind: type[StanchionError]
) -> None:
    api.will(refused)
    with pytest.raises(StanchionError) as error:
        await ask()
    assert type(error.value) is kind
    assert "sk-test" not in str(error.value)
    assert len(api.messages) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "86400"}, LONGEST_RETRY_AFTER.total_seconds()),
        ({"retry-after": "1e300"}, LONGEST_RETRY_AFTER.total_seconds()),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
async def test_the_time_to_wait_is_the_providers(
    api: FakeAnthropic, ask: Ask, headers: Mapping[str, str], seconds: float | None
) -> None:
    api.will(Refused(429, "rate_limit_error", headers=headers))
    with pytest.raises(ModelRateLimited) as error:
        await ask()
    after = error.value.retry_after
    assert (after.total_seconds() if after else None) == seconds
    assert to_application_error(error.value).next_retry_delay == after


async def test_the_time_to_wait_may_be_a_date(api: FakeAnthropic, ask: Ask) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    api.will(Refused(529, "overloaded_error", headers={"retry-after": moment}))
    with pytest.raises(ModelOverloaded) as error:
        await ask()
    assert error.value.retry_after is not None
    assert timedelta(minutes=9) < error.value.retry_after <= timedelta(minutes=10)


TRANSIENT = ("overloaded_error", "rate_limit_error", "api_error", "timeout_error", "odd_error")


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("overloaded_error", ModelOverloaded),
        ("rate_limit_error", ModelRateLimited),
        ("api_error", ModelUnavailable),
        ("timeout_error", ModelUnreachable),
        ("authentication_error", ModelKeyRejected),
        ("invalid_request_error", ModelRequestRejected),
        ("odd_error", ModelAnswerGarbled),
    ],
)
async def test_an_error_inside_a_stream_means_what_it_means_outside_until_the_answer_has_begun(
    api: FakeAnthropic, ask: Ask, type_: str, kind: type[StanchionError]
) -> None:
    failed = {"type": "error", "error": {"type": type_, "message": "no"}}
    api.will(Raw(sse(failed)), Streamed((text("so"),), extra=(failed,)))
    with pytest.raises(StanchionError) as before:
        await ask()
    assert type(before.value) is kind
    with pytest.raises(StanchionError) as within:
        await ask()
    assert type(within.value) is (ModelBrokeOff if type_ in TRANSIENT else kind)


@pytest.mark.parametrize(
    "refused",
    [
        Refused(400, "invalid_request_error", message="Output blocked by content filtering policy"),
        Refused(400, "invalid_request_error", code="content_policy_violation"),
        Refused(400, "content_filter"),
    ],
)
async def test_a_content_filter_is_an_answer_that_refuses(api: FakeAnthropic, ask: Ask, refused: Refused) -> None:
    failed = {"type": "error", "error": {"type": refused.type, "code": refused.code, "message": refused.message}}
    api.will(refused, Streamed((text("so"),), extra=(failed,)))
    assert (await ask()).stop_reason == "refusal"
    within = await ask()
    assert (within.stop_reason, within.blocks) == ("refusal", (Text(text="so"),))
    assert within.usage.missing == ("output",)


# --- a prompt that does not fit


async def test_a_prompt_that_measures_too_long_is_an_answer_and_no_error(api: FakeAnthropic, ask: Ask) -> None:
    api.tokens = api.window
    api.will(Refused(400, "invalid_request_error", message="whatever the words are"))
    found = await ask()
    assert (found.stop_reason, found.blocks, found.usage) == ("context_exceeded", (), Usage())


async def test_a_prompt_that_fits_is_rejected_whatever_the_words_are(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Refused(400, "invalid_request_error", message="prompt is too long: 300000 tokens > 200000 maximum"))
    with pytest.raises(ModelRequestRejected):
        await ask()


async def test_a_400_that_names_its_cause_is_not_measured(api: FakeAnthropic, ask: Ask) -> None:
    api.tokens = api.window
    api.will(Refused(400, "invalid_request_error", code="organization_on_hold"))
    with pytest.raises(ModelRequestRejected):
        await ask()
    assert len(api.requests) == 1


async def test_a_body_too_large_for_the_api_does_not_fit_either(api: FakeAnthropic, ask: Ask) -> None:
    api.will(Refused(413, "request_too_large"))
    assert (await ask()).stop_reason == "context_exceeded"

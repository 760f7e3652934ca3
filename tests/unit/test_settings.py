"""Settings: read once, from one place, and refused by name when they cannot be meant."""

from typing import Any

import pytest

from activities.budgets.typical_cost import AlarmFactors
from activities.errors import Permanent
from workers.settings import SettingInvalid, Settings, from_environment
from workflows.contracts.runs import TASK_QUEUE

UNSIGNED = "STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS"
SWITCHES = {
    UNSIGNED: "dangerously_accept_unsigned_decisions",
    "STANCHION_FORBID_REAL_MODEL_CALLS": "forbid_real_model_calls",
}


def test_an_empty_environment_is_the_safe_default() -> None:
    settings = from_environment({})
    assert settings.task_queue == TASK_QUEUE
    assert not settings.dangerously_accept_unsigned_decisions
    assert settings == Settings()


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_a_switch_is_on(name: str, value: str) -> None:
    assert getattr(from_environment({name: value}), SWITCHES[name]) is True


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["", "0", "false", "No", "OFF", "  "])
def test_a_switch_is_off(name: str, value: str) -> None:
    assert getattr(from_environment({name: value}), SWITCHES[name]) is False


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["2", "-1", "maybe", "1.0", "None", "flase"])
def test_a_switch_that_is_neither_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingInvalid, match=name) as refusal:
        from_environment({name: value})
    assert isinstance(refusal.value, Permanent)


@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", "many", "1_000", " 5", "0x5", "²"])
def test_a_number_that_is_not_whole_is_refused_by_name(value: str) -> None:
    with pytest.raises(SettingInvalid, match="STANCHION_ROLLOVER_EVENTS"):
        from_environment({"STANCHION_ROLLOVER_EVENTS": value})


def test_a_number_is_read() -> None:
    assert from_environment({"STANCHION_ROLLOVER_EVENTS": "40"}).rollover.events == 40
    assert from_environment({"STANCHION_ROLLOVER_EVENTS": ""}).rollover.events == Settings().rollover.events


@pytest.mark.parametrize("value", ["{", "[]", "3", "null", '"x"'])
def test_prices_that_are_no_object_are_refused_by_name(value: str) -> None:
    with pytest.raises(SettingInvalid, match="STANCHION_PRICES"):
        from_environment({"STANCHION_PRICES": value})


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("DATABASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "STANCHION_TASK_QUEUE", "STANCHION_MODEL_QUEUE")
    assert from_environment(dict.fromkeys(names, "")) == Settings()


def test_what_tools_are_told_is_named_in_lower_case() -> None:
    settings = from_environment({"STANCHION_TOOL_SMTP_HOST": "mail", "STANCHION_TOOLBOX": "no"})
    assert dict(settings.tool_settings) == {"smtp_host": "mail"}


def test_no_secret_is_shown() -> None:
    secrets: dict[str, Any] = {
        "DATABASE_URL": "postgresql://me:hunter2@db/x",
        "ANTHROPIC_API_KEY": "hunter2",
        "STANCHION_TOOL_TOKEN": "hunter2",
    }
    assert "hunter2" not in repr(from_environment(secrets))


@pytest.mark.parametrize(
    ("warn", "stop", "factors"),
    [
        ("", "", AlarmFactors()),
        ("5", "", AlarmFactors(5, 50)),
        ("80", "", AlarmFactors(80, 80)),
        ("2", "3", AlarmFactors(2, 3)),
    ],
)
def test_the_multiples_of_a_typical_cost_are_read(warn: str, stop: str, factors: AlarmFactors) -> None:
    assert from_environment({"STANCHION_ALARM_WARN": warn, "STANCHION_ALARM_STOP": stop}).alarms == factors


@pytest.mark.parametrize(("warn", "stop"), [("0", ""), ("5", "4"), ("-1", ""), ("2.5", ""), ("", "5")])
def test_multiples_that_make_no_sense_are_refused(warn: str, stop: str) -> None:
    with pytest.raises(SettingInvalid, match="STANCHION_ALARM"):
        from_environment({"STANCHION_ALARM_WARN": warn, "STANCHION_ALARM_STOP": stop})

"""Settings: all values that a process reads from its environment variables."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from activities.budgets.typical_cost import AlarmFactors
from activities.errors import Permanent
from activities.model.outage_times import OutageTimes
from workers.slack.config import SLACK_API, SlackSettings
from workflows.contracts.runs import TASK_QUEUE, QueueLayout, RolloverCaps

TOOL_PREFIX = "STANCHION_TOOL_"
YES = frozenset(("1", "true", "yes", "on"))
NO = frozenset(("", "0", "false", "no", "off"))


class SettingInvalid(Permanent):
    """An environment variable has a value that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Its `repr` contains no secrets."""

    task_queue: str = TASK_QUEUE
    queues: QueueLayout = field(default_factory=QueueLayout)
    rollover: RolloverCaps = field(default_factory=RolloverCaps)
    cache_mb: int = 150  # memory for cached runs; the rest of a worker takes about as much
    database_url: str | None = field(default=None, repr=False)
    anthropic_api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    forbid_real_model_calls: bool = False
    prices: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    alarms: AlarmFactors = field(default_factory=AlarmFactors)
    dangerously_accept_unsigned_decisions: bool = False
    outages: OutageTimes = field(default_factory=OutageTimes)
    anthropic_silence_seconds: int = 60
    otlp_endpoint: str | None = None
    log_format: str = "json"
    slack: SlackSettings = field(default_factory=SlackSettings)
    tool_settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def layout(self) -> QueueLayout:
        """The queues that a run is told when it is opened: bookkeeping has one of its own."""
        return self.queues.having(operations=self.queues.operations or f"{self.task_queue}-operations")


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process. Raises SettingInvalid, which names the variable."""
    env = os.environ if environment is None else environment
    default = RolloverCaps()
    return Settings(
        task_queue=env.get("STANCHION_TASK_QUEUE") or TASK_QUEUE,
        queues=QueueLayout(
            model=env.get("STANCHION_MODEL_QUEUE") or None, tools=env.get("STANCHION_TOOLS_QUEUE") or None
        ),
        rollover=RolloverCaps(events=_read_number(env, "STANCHION_ROLLOVER_EVENTS", default.events)),
        cache_mb=_read_number(env, "STANCHION_CACHE_MB", Settings.cache_mb),
        database_url=env.get("DATABASE_URL") or None,
        anthropic_api_key=env.get("ANTHROPIC_API_KEY") or None,
        anthropic_base_url=env.get("ANTHROPIC_BASE_URL") or None,
        forbid_real_model_calls=_read_switch(env, "STANCHION_FORBID_REAL_MODEL_CALLS"),
        prices=_read_prices(env),
        alarms=_read_alarms(env),
        dangerously_accept_unsigned_decisions=_read_switch(env, "STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS"),
        outages=_read_outages(env),
        anthropic_silence_seconds=_read_number(
            env, "STANCHION_ANTHROPIC_SILENCE_SECONDS", Settings.anthropic_silence_seconds
        ),
        otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
        log_format=env.get("STANCHION_LOG_FORMAT") or "json",
        slack=_read_slack(env),
        tool_settings={k.removeprefix(TOOL_PREFIX).lower(): v for k, v in env.items() if k.startswith(TOOL_PREFIX)},
    )


def _read_slack(env: Mapping[str, str]) -> SlackSettings:
    return SlackSettings(
        bot_token=env.get("STANCHION_SLACK_BOT_TOKEN") or None,
        app_token=env.get("STANCHION_SLACK_APP_TOKEN") or None,
        signing_secret=env.get("STANCHION_SLACK_SIGNING_SECRET") or None,
        channel=env.get("STANCHION_SLACK_CHANNEL") or None,
        escalation_channel=env.get("STANCHION_SLACK_ESCALATION_CHANNEL") or None,
        tenants=tuple(name.strip() for name in env.get("STANCHION_SLACK_TENANTS", "").split(",") if name.strip()),
        listen=env.get("STANCHION_SLACK_LISTEN") or SlackSettings.listen,
        web_ui=env.get("STANCHION_SLACK_WEB_UI") or None,
        api_url=env.get("STANCHION_SLACK_API_URL") or SLACK_API,
    )


def _read_switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").strip().lower()
    if value not in YES | NO:
        raise SettingInvalid(f"{name} is a switch: 1 or 0, not {value!r}")
    return value in YES


def _read_number(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name, "")
    if value and not value.isdecimal():
        raise SettingInvalid(f"{name} is a whole number, not {value!r}")
    return int(value) if value else default


def _read_alarms(env: Mapping[str, str]) -> AlarmFactors:
    default = AlarmFactors()
    warn = _read_number(env, "STANCHION_ALARM_WARN", default.warn)
    stop = _read_number(env, "STANCHION_ALARM_STOP", max(default.stop, warn))
    if not 1 <= warn <= stop:
        raise SettingInvalid("STANCHION_ALARM_WARN and STANCHION_ALARM_STOP: whole numbers from 1, warn before stop")
    return AlarmFactors(warn, stop)


def _read_outages(env: Mapping[str, str]) -> OutageTimes:
    default = OutageTimes()
    first = _read_number(env, "STANCHION_VENDOR_RETRY_SECONDS", int(default.first))
    longest = _read_number(env, "STANCHION_VENDOR_RETRY_MOST_SECONDS", max(int(default.longest), first))
    if not 1 <= first <= longest:
        raise SettingInvalid(
            "STANCHION_VENDOR_RETRY_SECONDS and STANCHION_VENDOR_RETRY_MOST_SECONDS: from 1 s, the first no longer"
        )
    return replace(default, first=float(first), longest=float(longest))


def _read_prices(env: Mapping[str, str]) -> dict[str, Any]:
    try:
        prices = json.loads(env.get("STANCHION_PRICES") or "{}")
    except ValueError as error:
        raise SettingInvalid(f"STANCHION_PRICES is not valid JSON: {error}") from None
    if not isinstance(prices, dict):
        raise SettingInvalid("STANCHION_PRICES is a JSON object: model -> prices in micro-USD per million tokens")
    return prices

"""Outages of model vendors: a circuit breaker in Postgres that all workers share, and the runs that wait.

A call that fails for the vendor's sake is tried again by Temporal for a short while. If that does not help, the
activity returns `VendorAway` instead of failing: the run waits with its clock stopped. Nobody else asks until the time
in the outage's row has come; then one call tries whether the vendor is back. The first answer deletes the row.
"""

import json
import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.errors import StanchionError, Transient, clip
from activities.model import errors
from activities.model.outage_times import OutageTimes
from activities.storage.canonical import sha256_hex
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.storage.trace import Trace
from workflows.contracts.model import PlanRequest, VendorAway

SQL = Queries(__file__, "vendor_outages.sql")

REASON_LIMIT = 500  # characters
JITTER = 0.1  # of the interval, so that a thousand runs do not ask at the same moment
PROBE_SECONDS = 60.0  # how long one call may try whether the vendor is back, before another one may

# The vendor may answer later, to the same request.
COMES_BACK = (
    errors.ModelOverloaded,
    errors.ModelRateLimited,
    errors.ModelUnavailable,
    errors.ModelUnreachable,
)
# Somebody has to correct something first: the key, the balance, the address, or the model that was retired.
NEEDS_PERSON = (errors.ModelKeyRejected, errors.ModelMisconfigured, errors.ModelUnknown)
VENDOR_ERRORS = (*COMES_BACK, *NEEDS_PERSON)
ABOUT_ONE_MODEL = (errors.ModelOverloaded, errors.ModelRateLimited, errors.ModelUnknown)


class VendorIsAway(Exception):
    """The step cannot be taken now."""

    def __init__(self, away: VendorAway) -> None:
        super().__init__(str(away))
        self.away = away


@dataclass(frozen=True)
class VendorAccount:
    """What a call depends on. `account` tells one key and address from another without showing either."""

    vendor: str
    model: str
    account: str = ""

    @property
    def scopes(self) -> tuple[str, str]:
        """The scope of the whole account, and that of this model."""
        account = f"{self.vendor}@{self.account}" if self.account else self.vendor
        return account, f"{account}:{self.model}"


def account_digest(*parts: str) -> str:
    """A short digest of a key and an address."""
    return sha256_hex(parts)[:12]


@dataclass(frozen=True)
class VendorOutages:
    """The tables `vendor_outages` and `vendor_waits`."""

    database: Database
    times: OutageTimes

    async def check(self, request: PlanRequest, on: VendorAccount, rows: str | None, waited: float) -> None:
        """Raise VendorIsAway if this vendor is known to be away and it is not this call that tries whether it is back.

        `rows`: all outages there are, as JSON. `waited`: seconds since the step was scheduled. Raises StoreUnavailable.
        """
        for row in json.loads(rows or "[]"):
            if row["scope"] not in on.scopes or row["retry_in"] is None or request.ask_anyway:
                continue
            wait = row["retry_in"]
            if wait <= 0:
                if await SQL["probe"].row(self.database, scope=row["scope"], seconds=PROBE_SECONDS):
                    continue
                wait = min(self.times.first, PROBE_SECONDS) / 2
            away = self._away(on, row["model"], row["error"], row["reason"], row["needs_person"], wait, waited)
            await self._note(request, row["scope"], away)
            raise VendorIsAway(away)

    async def failed(
        self, request: PlanRequest, on: VendorAccount, error: StanchionError, waited: float
    ) -> VendorAway | None:
        """Note a failed call. None: the outage has not opened yet, and Temporal tries the call again in a moment.

        `waited`: seconds since the step was scheduled. Raises StoreUnavailable.
        """
        needs_person = isinstance(error, NEEDS_PERSON)
        asked = error.retry_after.total_seconds() if isinstance(error, Transient) and error.retry_after else 0.0
        room = min(self.times.quick, request.seconds_left or self.times.quick)
        model = on.model if isinstance(error, ABOUT_ONE_MODEL) else ""
        scope = on.scopes[1] if model else on.scopes[0]
        named = {"error": type(error).__name__, "reason": clip(str(error), REASON_LIMIT)}
        row: Any = await SQL["failed"].row(
            self.database,
            scope=scope,
            vendor=on.vendor,
            model=model,
            needs_person=needs_person,
            open_now=needs_person or asked > room or waited > self.times.quick,
            threshold=self.times.threshold,
            first_seconds=self.times.first,
            longest_seconds=self.times.longest,
            retry_after=asked,
            **named,
        )
        if row["retry_in"] is None:
            return None
        away = self._away(on, model, named["error"], named["reason"], needs_person, row["retry_in"], waited)
        await self._note(request, scope, away)
        return away

    async def answered(self, run_id: str, on: VendorAccount) -> None:
        """The vendor has answered: its outage is over, and this run waits no more. Raises StoreUnavailable."""
        await SQL["back"].rows(self.database, run_id=run_id, scopes=list(on.scopes))

    def _away(
        self, on: VendorAccount, model: str, error: str, reason: str, needs_person: bool, wait: float, idle: float
    ) -> VendorAway:
        until = datetime.now(UTC) + timedelta(seconds=max(wait, 0.0) * (1 + JITTER * random.random()))  # noqa: S311 — no secret
        return VendorAway(
            vendor=on.vendor,
            model=model,
            error=error,
            reason=reason,
            needs_person=needs_person,
            until=until,
            idle_seconds=idle,
        )

    async def _note(self, request: PlanRequest, scope: str, away: VendorAway) -> None:
        trace = Trace(request.run_id, (away,), step=request.step)
        told = await SQL["waits"].rows(
            self.database,
            run_id=request.run_id,
            scope=scope,
            vendor=away.vendor,
            error=away.error,
            reason=away.reason,
            needs_person=away.needs_person,
            until=away.until,
            step=request.step,
            **trace.columns,
        )
        trace.emit(logging.WARNING if told else logging.INFO)  # the first run that waits tells people

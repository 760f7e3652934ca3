"""`resume --vendor NAME`: has every run that waits for a model vendor ask it again now."""

import getpass

from activities.halts.notify_runs import signal_runs
from activities.model.vendor_outages import SQL
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.temporal_session import open_session


def resume(vendor: str, reason: str | None, by: str | None, as_json: bool, *, alone: bool) -> None:
    """`stanchion resume --vendor`."""
    if not alone:
        fail("say one thing: a run, or one of --vendor, --agent, --tool, --tenant, --fleet", Exit.USAGE)

    async def work() -> int:
        async with open_session() as opened:
            await SQL["forget"].rows(opened.database, vendor=vendor)
            runs = [row["run_id"] for row in await SQL["waiting_runs"].rows(opened.database, vendor=vendor)]
            order = {"by": by or getpass.getuser(), "reason": reason, "vendor": vendor}
            return await signal_runs(opened.client, runs, "resume", order)

    told = run(work())
    if as_json:
        return show({"vendor": vendor, "told": told}, as_json=True)
    say(f"{told} runs ask {vendor} again now" if told else f"no run waits for {vendor}")

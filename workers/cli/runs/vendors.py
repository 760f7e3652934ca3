"""`resume --vendor NAME`: has every run that waits for a model vendor ask it again now."""

import getpass

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

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
            return sum([await _signal(opened.client, run_id, order) for run_id in runs])

    told = run(work())
    if as_json:
        return show({"vendor": vendor, "told": told}, as_json=True)
    say(f"{told} runs ask {vendor} again now" if told else f"no run waits for {vendor}")


async def _signal(client: Client, run_id: str, order: dict[str, str | None]) -> int:
    """1 if the run was told; 0 if it is over by now."""
    try:
        await client.get_workflow_handle(run_id).signal("resume", order)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return 0
    return 1

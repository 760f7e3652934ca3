"""The body of `stanchion demo`: plays `workers.demo` and prints its results."""

import logging

from activities.drills.figures import in_words
from workers import logs
from workers.cli.output import Exit, fail, run, say, show
from workers.demo import run_demo
from workers.demo_stage import DemoFailed
from workers.demo_summary import Summary
from workers.services import Home
from workers.settings import from_environment


def demo(as_json: bool) -> None:
    """`stanchion demo`. Exit code 1 if a result is not as promised (see `Summary.as_promised`)."""

    async def work() -> Summary:
        try:
            return await run_demo(Home.locate(), from_environment(), say)
        except DemoFailed as error:
            fail(str(error), Exit.RUN_FAILED)

    logs.configure(from_environment().log_format, logging.WARNING)
    summary = run(work())
    show(summary.as_json(), as_json=as_json, text=_summary_text(summary))
    raise SystemExit(int(Exit.OK if summary.as_promised else Exit.RUN_FAILED))


def _summary_text(summary: Summary) -> str:
    return f"""
6. {"All as promised" if summary.as_promised else "NOT AS PROMISED"}. The first run went on \
{summary.reset.resumed_seconds} s after kill -9, at {summary.reset.history_bytes_per_step} bytes of history a step.
   The halt stopped all {summary.drill.runs} decoys in {in_words(summary.drill.max_seconds)}; \
{summary.drill.late_effects} effects came after it.

   Web UI     {summary.reset.web_ui}

Try next (`stanchion` is .venv/bin/stanchion):
   stanchion show {summary.reset.run}
   stanchion run it-support "Take care of the oldest ticket" --watch     then, in another terminal:
   stanchion approvals                                                   the run waits for a code; this shows the code:
   curl {summary.phones}/phone/tomas@acme.example
   stanchion confirm AP-ID
`make down` stops everything."""

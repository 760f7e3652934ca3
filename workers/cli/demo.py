"""`stanchion demo`: plays `workers.demo` and says what was seen."""

from workers.cli.output import Exit, run, say, show
from workers.demo import Summary, run_demo
from workers.services import Home
from workers.settings import from_environment


def demo(as_json: bool) -> None:
    """Exit code 1 if the witness counted anything else than we did."""
    summary = run(run_demo(Home.locate(), from_environment(), say))
    show(summary.as_json(), as_json=as_json, text=_in_words(summary))
    same = summary.claimed == summary.witness and summary.status == "completed"
    raise SystemExit(int(Exit.OK if same else Exit.RUN_FAILED))


def _in_words(summary: Summary) -> str:
    verdict = "the same" if summary.claimed == summary.witness else "NOT THE SAME"
    return f"""
4. {summary.status}. Effects we recorded: {summary.claimed}. Effects the accounts service performed: {summary.witness} \
({verdict}); it recognised {summary.repeats} repeat(s) by key.
   It went on {summary.resumed_seconds} s after kill -9, at {summary.history_bytes_per_step} bytes of history a step.

   Web UI     {summary.web_ui}

Try next (`stanchion` is .venv/bin/stanchion):
   stanchion show {summary.run}
   stanchion run it-support "Take care of the oldest ticket" --watch     then, in another terminal:
   stanchion approvals
`make down` stops everything."""

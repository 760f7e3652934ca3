"""Measures a decision in process: all checks of a call, its grant, the origins of its values, three policies."""

import time
from statistics import median, quantiles
from typing import Any
from unittest.mock import patch

from activities.gateway.evaluation.checks import evaluate
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.policy.cedar.store import Effective
from activities.policy.engine.verdicts import Allow
from bench.desk import MAIL, REPORT, TEAM, Decision, Read, decision, transcript
from bench.results import Line
from bench.site import Site

TARGET_MS = 1.0
SMALL, LONG = 10, 2_000  # pages of 4 KB
WARM = 20  # the first look at a page finds out what names are in it
PERMIT = Allow("policy.permit", "")


async def measure(site: Site, quick: bool) -> tuple[dict[str, Any], list[Line]]:
    """Each decision many times, every other time without its policies."""
    times, pages = (50, 100) if quick else (3_000, LONG)
    short, long = transcript(SMALL), transcript(pages)
    reader = EvidenceReader(Read(long))
    began = time.process_time()
    longest = await decision(long, reader, "send_mail", MAIL)
    reading = (time.process_time() - began) * 1000 / pages
    decisions = {
        f"{SMALL} pages": await decision(short, EvidenceReader(Read(short)), "send_mail", MAIL),
        f"{pages:,} pages": longest,
        f"{pages:,} pages, SQL and {len(TEAM)} recipients": await decision(long, reader, "report", REPORT),
    }
    found = {name: _taken(each, times) for name, each in decisions.items()}
    lines = [_line(name, each) for name, each in found.items()]
    lines.append(Line("reading a page of 4 KB, once", f"{reading:.2f} ms CPU"))
    ms = {name: {way: _summary(values) for way, values in each.items()} for name, each in found.items()}
    return {"decisions": times, "pages": pages, "reading_cpu_ms": round(reading, 3), "ms": ms}, lines


def _taken(asked: Decision, times: int) -> dict[str, list[float]]:
    """Milliseconds of each decision: time and CPU, and both without the policies."""
    taken: dict[str, list[float]] = {"whole": [], "whole_cpu": [], "without_cedar": [], "without_cedar_cpu": []}
    for _ in range(WARM):
        _timed(asked)
    for _ in range(times):
        for way, took in zip(("whole", "whole_cpu"), _timed(asked), strict=True):
            taken[way].append(took)
        with patch.object(Effective, "decide", lambda *_: PERMIT):
            for way, took in zip(("without_cedar", "without_cedar_cpu"), _timed(asked), strict=True):
                taken[way].append(took)
    return taken


def _timed(asked: Decision) -> tuple[float, float]:
    """Milliseconds, and of CPU. Raises unless the call is allowed, as it should be: another path is another figure."""
    began, used = time.perf_counter(), time.thread_time()
    judged = evaluate(asked.call, asked.around)
    took = (time.perf_counter() - began) * 1000, (time.thread_time() - used) * 1000
    if not isinstance(judged.verdict, Allow):
        raise RuntimeError(f"{asked.call.facts.tool} was not allowed: {judged.verdict}")
    return took


def _line(name: str, taken: dict[str, list[float]]) -> Line:
    ours, without = _summary(taken["whole"]), _summary(taken["without_cedar"])
    return Line(
        f"decision, {name} (p99)",
        f"{ours['p99']:.2f} ms (p50 {ours['p50']:.2f}, CPU {_summary(taken['whole_cpu'])['p50']:.2f})",
        f"without Cedar {without['p99']:.2f} ms ({ours['p50'] / without['p50']:.1f} x at p50)",
        "< 1 ms",
        ours["p99"] < TARGET_MS,
    )


def _summary(values: list[float]) -> dict[str, float]:
    p99 = quantiles(values, n=100)[98]
    return {"p50": round(median(values), 3), "p99": round(p99, 3), "min": round(min(values), 3)}

"""The benchmarks run and write their results. What they find is not tested: a figure depends on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS
from workers.services.home import PROJECT_ROOT

pytestmark = pytest.mark.slow

SECONDS = 900  # a minute on an idle machine, and ten where others burn its cores


def test_every_benchmark_runs_and_writes_its_result(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=SECONDS)

    assert done.returncode == 0, done.stderr[-4_000:]
    for name in BENCHMARKS:
        result = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert result["benchmark"] == name
        assert result["figures"] and result["lines"]
        assert {"cores", "python", "temporalio", "postgres"} <= result["machine"].keys()
        assert all(line["figure"] in done.stdout for line in result["lines"])

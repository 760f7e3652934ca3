"""The build id that workers report: the same for the same source, another one for any other."""

import shutil
from pathlib import Path

import pytest

from workers import build_id as module


def digest_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The build id of another source tree."""
    monkeypatch.setattr(module, "ROOT", root)
    return module.build_id.__wrapped__()


def test_the_build_id_is_that_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = module.build_id.__wrapped__()
    for package in module.PACKAGES:
        shutil.copytree(module.ROOT / package, tmp_path / package)
    assert digest_of(tmp_path, monkeypatch) == here
    changed = tmp_path / "workflows" / "agent.py"
    changed.write_text(changed.read_text() + "\n# changed\n")
    other = digest_of(tmp_path, monkeypatch)
    assert other != here
    changed.rename(changed.with_name("agents.py"))
    assert digest_of(tmp_path, monkeypatch) not in (here, other)

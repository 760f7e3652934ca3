"""Documents: every relative link leads somewhere, and the index of docs/ names every document."""

from pathlib import Path

import pytest

from tests.architecture.markdown import broken_links, documents, headings, links
from tests.architecture.source import ROOT

INDEX = Path("docs/README.md")


@pytest.mark.parametrize("file", documents(), ids=str)
def test_every_link_leads_to_a_file_and_a_heading(file: Path) -> None:
    assert broken_links(file, (ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "[a](policy.md#no-such-heading)", "[a](#no-such)", "[`a`](x.md)"])
def test_the_look_for_broken_links_sees(link: str) -> None:
    assert broken_links(INDEX, f"# Title\n{link}\n")


@pytest.mark.parametrize("link", ["[a](policy.md)", "[a](#title)", "[a](https://a.example/b)", "```\n[a](x.md)\n```"])
def test_the_look_for_broken_links_leaves_the_rest_alone(link: str) -> None:
    assert broken_links(INDEX, f"# Title\n{link}\n") == []


def test_anchors_are_those_of_github() -> None:
    text = "# Cases: `policy test FILE`\n## What's *new*?\n```\n# no heading\n```\n## A\n## A\n"
    assert headings(text) == ["cases-policy-test-file", "whats-new", "a", "a-1"]


def test_the_index_names_every_document() -> None:
    index = (ROOT / INDEX).read_text(encoding="utf-8")
    linked = {(ROOT / INDEX.parent / link.partition("#")[0]).resolve() for link in links(index)}
    expected = [file for file in documents() if file.parent in (Path("docs"), Path("docs/runbooks"), Path("deploy"))]
    assert [str(file) for file in expected if file != INDEX and (ROOT / file).resolve() not in linked] == []

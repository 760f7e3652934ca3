"""Headings, links and table rows of the Markdown documents that are or would be committed."""

import re
from collections import Counter
from pathlib import Path

from tests.architecture.source import ROOT, committed

_CODE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def documents() -> list[Path]:
    """Every Markdown file, relative to the root."""
    return [file for file in committed() if file.suffix == ".md"]


def headings(text: str) -> list[str]:
    """The anchors of a document's headings, as GitHub makes them: a repeated one gets -1, -2, …"""
    anchors: list[str] = []
    seen: Counter[str] = Counter()
    for title in _HEADING.findall(_CODE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        anchors.append(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


def links(text: str) -> list[str]:
    """The targets of a document's links. Code blocks have none; a code span may be a link's label."""
    return _LINK.findall(_SPAN.sub("code", _CODE.sub("", text)))


def broken_links(file: Path, text: str) -> list[str]:
    """Relative links of a document that lead to no file of the repository, or to no heading of it."""
    broken = []
    for target in links(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / file.parent / path).resolve() if path else ROOT / file
        if not there.exists() or not there.is_relative_to(ROOT):
            broken.append(target)
        elif anchor and anchor not in headings(text if not path else there.read_text(encoding="utf-8")):
            broken.append(target)
    return broken


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row of a document, headers and rules left out."""
    lines = text.splitlines()
    rows = []
    for number, line in enumerate(lines):
        is_rule = line.startswith("| ---")
        is_header = number + 1 < len(lines) and lines[number + 1].startswith("| ---")
        if line.startswith("|") and not is_rule and not is_header:
            rows.append([cell.strip() for cell in line.strip().strip("|").split(" | ")])
    return rows

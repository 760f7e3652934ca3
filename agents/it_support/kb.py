"""The knowledge base: one Markdown file per article, with a keyword search in which rare words count most."""

import math
import re
from functools import cache
from pathlib import Path

from pydantic import BaseModel

FOLDER = Path(__file__).parent / "kb"
HITS = 3  # articles in an answer
TITLE_WEIGHT = 3  # a word in the title counts as much as three in the text
STOP_WORDS = frozenset(
    "a an and are at be but can cannot for from i in is it me my no not of on or the to with".split()
)


class Article(BaseModel):
    """An article of the knowledge base."""

    article: str
    title: str
    text: str


@cache
def articles() -> tuple[Article, ...]:
    """Return all articles, sorted by name."""
    return tuple(_read_article(file) for file in sorted(FOLDER.glob("*.md")))


def search(query: str) -> list[Article]:
    """Return up to HITS articles that contain words of the query, best first."""
    scores = {article.article: _score(set(_words(query)), article) for article in articles()}
    matches = [article for article in articles() if scores[article.article] > 0]
    return sorted(matches, key=lambda article: -scores[article.article])[:HITS]


def _score(words: set[str], article: Article) -> float:
    title, text = set(_words(article.title)), set(_words(article.text))
    return sum(_rarity(word) * (TITLE_WEIGHT * (word in title) + (word in text)) for word in words)


@cache
def _rarity(word: str) -> float:
    frequency = sum(word in _words(f"{article.title} {article.text}") for article in articles())
    return math.log(1 + len(articles()) / frequency) if frequency else 0.0


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP_WORDS]


def _read_article(file: Path) -> Article:
    title, _, text = file.read_text(encoding="utf-8").partition("\n")
    return Article(article=file.stem, title=title.removeprefix("# "), text=text.strip())

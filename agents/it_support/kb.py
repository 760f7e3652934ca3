"""The knowledge base: one Markdown file per article, found by words; rare words weigh most."""

import math
import re
from functools import cache
from pathlib import Path

from pydantic import BaseModel

FOLDER = Path(__file__).parent / "kb"
HITS = 3  # articles in an answer: what a reader looks at before asking anew
TITLE_WEIGHT = 3  # a word of the title says more about an article than one of its text
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
    """All articles, by name."""
    return tuple(_read(file) for file in sorted(FOLDER.glob("*.md")))


def search(query: str) -> list[Article]:
    """The articles that fit the query best, best first; none if no word of it occurs."""
    scores = {article.article: _score(set(_words(query)), article) for article in articles()}
    found = [article for article in articles() if scores[article.article] > 0]
    return sorted(found, key=lambda article: -scores[article.article])[:HITS]


def _score(words: set[str], article: Article) -> float:
    title, text = set(_words(article.title)), set(_words(article.text))
    return sum(_rarity(word) * (TITLE_WEIGHT * (word in title) + (word in text)) for word in words)


@cache
def _rarity(word: str) -> float:
    holders = sum(word in _words(f"{article.title} {article.text}") for article in articles())
    return math.log(1 + len(articles()) / holders) if holders else 0.0


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP_WORDS]


def _read(file: Path) -> Article:
    title, _, text = file.read_text(encoding="utf-8").partition("\n")
    return Article(article=file.stem, title=title.removeprefix("# "), text=text.strip())

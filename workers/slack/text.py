"""Puts text into Slack blocks so that Slack shows it literally, without links, mentions or markup. Pure.

Text from models, tools and people goes into `text` elements of rich text. Slack shows these literally: links, mentions,
channels, emoji and images are elements of other types, which this module never creates. No block uses mrkdwn. Only
plain-text objects and the notification text are escaped, because Slack requires that for them.
"""

from typing import Any

from workflows.visible import show_hidden_characters

Block = dict[str, Any]
PLAIN_LIMIT = 150  # characters of a plain-text object: Slack's limit for a header
LINE_LIMIT = 600  # characters of one line of a card


def escaped(text: str) -> str:
    """Escape &, < and >, which Slack reads as control characters in some texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def one_line(text: str, limit: int = LINE_LIMIT) -> str:
    """Return `text` on one line of at most `limit` characters, with hidden characters made visible.

    A text with line breaks could otherwise imitate another line of the card.
    """
    line = " ".join(show_hidden_characters(text).split())
    return line if len(line) <= limit else f"{line[:limit]}… ({len(line) - limit} more characters)"


def plain(text: str, limit: int = PLAIN_LIMIT) -> Block:
    """Return a plain-text object of at most `limit` characters after escaping."""
    cut = line = " ".join(show_hidden_characters(text).split())
    while len(escaped(cut)) > limit:  # cut before escaping, so that no escape is cut in two
        line = line[:-1]
        cut = f"{line}…"
    return {"type": "plain_text", "text": escaped(cut), "emoji": False}


def header(text: str) -> Block:
    """Return a header block."""
    return {"type": "header", "text": plain(text)}


def lines(*entries: tuple[str, str]) -> Block:
    """Return a block of lines, each with a bold label and its text. Entries with an empty text are left out."""
    elements: list[Block] = []
    for label, text in entries:
        if text:
            elements.append({"type": "text", "text": f"{one_line(label, 100)}: ", "style": {"bold": True}})
            elements.append({"type": "text", "text": f"{one_line(text)}\n"})
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def sentence(text: str) -> Block:
    """Return a block with one line of text."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": one_line(text, 2_000)}]}
    return {"type": "rich_text", "elements": [section]}


def verbatim(text: str) -> Block:
    """Return a block of fixed-width text. The caller has already made hidden characters visible."""
    block = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [block]}

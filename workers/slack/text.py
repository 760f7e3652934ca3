"""Text in Slack's blocks, so that nothing in it renders. Pure.

Everything that a model, a tool or a person wrote goes into `text` elements of rich text, which Slack shows letter by
letter: links, mentions, channels, emoji and images are elements of other types there, and none is ever made here.
There is no mrkdwn in any block. Only the notification line and plain-text objects are escaped, as Slack asks for those.
"""

from typing import Any

from activities.policy.values.canonical_names import show_hidden_characters

Block = dict[str, Any]
PLAIN_LIMIT = 150  # characters of a header; the least of what Slack allows in the places we use
LINE_LIMIT = 600  # characters of one line of a card


def escaped(text: str) -> str:
    """`text` where Slack reads &, < and > as control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def one_line(text: str, limit: int = LINE_LIMIT) -> str:
    """`text` on one line, so that it cannot pose as another line of the card; what is hidden in it is shown."""
    line = " ".join(show_hidden_characters(text).split())
    return line if len(line) <= limit else f"{line[:limit]}… ({len(line) - limit} more characters)"


def plain(text: str, limit: int = PLAIN_LIMIT) -> Block:
    """A plain-text object."""
    cut = line = " ".join(show_hidden_characters(text).split())
    while len(escaped(cut)) > limit:  # escapes count, and are not cut in two
        line = line[:-1]
        cut = f"{line}…"
    return {"type": "plain_text", "text": escaped(cut), "emoji": False}


def header(text: str) -> Block:
    """A header block."""
    return {"type": "header", "text": plain(text)}


def lines(*entries: tuple[str, str]) -> Block:
    """A block of lines, each a label in bold and its text. An empty text is left out."""
    elements: list[Block] = []
    for label, text in entries:
        if text:
            elements.append({"type": "text", "text": f"{one_line(label, 100)}: ", "style": {"bold": True}})
            elements.append({"type": "text", "text": f"{one_line(text)}\n"})
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def said(text: str) -> Block:
    """A block that says one thing."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": one_line(text, 2_000)}]}
    return {"type": "rich_text", "elements": [section]}


def verbatim(text: str) -> Block:
    """A block of fixed-width text, shown as it is. `text` has been made visible."""
    block = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [block]}

"""Makes hidden characters visible: zero-width, bidirectional and control characters become `<U+202E>`. Pure.

Everything that people read on a terminal, in Slack or in the Web UI passes through here. It imports nothing but the
standard library, so that commands start fast.
"""

import re
import unicodedata

# Characters that are invisible or look like a blank, but are not in the Unicode categories Cf, Cc or Zs.
BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
UNSEEN = frozenset(("Cf", "Cc", "Cs", "Zl", "Zp"))
UNKNOWN = frozenset(("Co", "Cn"))
_UNUSUAL = re.compile(r"[^ -~\n\t]")  # most text has none of these


def show_hidden_characters(text: str) -> str:
    """`text` for display: characters that are invisible, reorder text or look like a blank become `<U+202E>`.

    Newline, tab and the ordinary blank are kept.
    """
    return _UNUSUAL.sub(lambda found: f"<U+{ord(found[0]):04X}>" if _deceives(found[0]) else found[0], text)


def escape_in_json(text: str) -> str:
    """JSON text with the same characters as JSON's own escapes: it decodes to the same data."""
    return _UNUSUAL.sub(lambda found: _escaped(found[0]) if _deceives(found[0]) else found[0], text)


def _deceives(char: str) -> bool:
    """Whether `char`, none of plain ASCII, is invisible, reorders the text around it, or looks like a blank."""
    category = unicodedata.category(char)
    return category in UNSEEN or category in UNKNOWN or category == "Zs" or bool(BLANK.match(char))


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

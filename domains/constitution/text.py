"""Text as a reader sees it: hostile characters are taken out or the text is refused, so nothing hidden decides a verdict.

What is judged is what is displayed. Invisible characters go, digits of any script become 0–9, struck-out text and comments go;
text whose display order differs from its characters (bidi controls, overlays, control characters, markup that hides) is refused.
"""

from __future__ import annotations

import re
import unicodedata

MAX_TEXT = 4000
"""Characters. Answers are one or two sentences; the longest reference has under 600."""


class Unreadable(ValueError):
    """The text cannot be judged as displayed; the message says why."""


_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OVERLAY = re.compile(
    "[0-9A-Za-z][\u0300-\u036f\u0483-\u0489\u20d0-\u20f0]|[\u0334-\u0338\u20d2\u20d3\u20e5\u20e6\u20eb]"
)
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u2070-\u209f]")
_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_STRUCK = re.compile(r"~~[^~\n]{0,500}~~|<(s|del|strike)>[^<]{0,500}</\1>", re.I)
_TAG = re.compile(r"</?([A-Za-z!?][A-Za-z0-9]{0,12})[^<>]{0,300}>")
_PLAIN_TAGS = frozenset({
    "b", "i", "u", "em", "strong", "p", "br", "ul", "ol", "li", "code", "blockquote", "h1", "h2", "h3", "h4", "table", "tr", "td", "th", "tbody", "thead", "hr",
})  # fmt: skip
_LINK = re.compile(r"\]\([^()\n]{0,500}\)")
_DEFINITION = re.compile(r"^[ ]{0,3}\[[^\]\n]{1,100}\]:.*$", re.M)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"))
_QUOTES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'") | dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"')
)


def readable(text: str) -> str:
    """`text` as displayed, in plain characters. Raises Unreadable."""
    if len(text) > MAX_TEXT:
        raise Unreadable(f"{len(text)} characters, over {MAX_TEXT}")
    text = text.replace("\r\n", "\n")
    if _BIDI.search(text):
        raise Unreadable("a control character that changes the order of display")
    if _CONTROL.search(text):
        raise Unreadable("a control character")
    text = _FRACTION.sub(r" \g<0>", _RAISED.sub(" ", text))
    # separators of any kind are blanks before NFKC could join what they separate
    if not text.isascii():
        text = "".join(_plain(character) for character in text)
        text = unicodedata.normalize("NFKC", text).translate(_DASHES).translate(_QUOTES).replace("\u2044", "/")
    if len(text) > 4 * MAX_TEXT:
        raise Unreadable("a text of characters that stand for many others")
    if _OVERLAY.search(text):
        raise Unreadable("a mark laid over a character")
    return _without_hidden(text)


def _plain(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind in ("Cf", "Co", "Cs", "Cn") or 0xFE00 <= ord(character) <= 0xFE0F:
        return ""
    if kind in ("Zs", "Zl", "Zp") and character != " ":
        return "\n" if kind != "Zs" else " "
    return character


def _without_hidden(text: str) -> str:
    text = _STRUCK.sub(" ", _COMMENT.sub(" ", text))
    for tag in _TAG.finditer(text):
        if tag[1].lower() not in _PLAIN_TAGS or "=" in tag[0]:
            raise Unreadable(f"markup that may hide text: <{tag[1]}>")
    text = _DEFINITION.sub(" ", _LINK.sub("] ", _TAG.sub(" ", text)))
    return text.replace("*", "").replace("_", " ").replace("#", " ")


_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*", re.UNICODE)


def words(text: str) -> str:
    """Lower-case words and numbers with one blank between and around them, for matching whole words."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def normalised(text: str) -> str:
    """Letters and digits alone, in lower case: equal questions have equal forms."""
    return "".join(character for character in text.casefold() if character.isalnum())

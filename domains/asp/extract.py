"""The program in a model's text: out of its code fences, or out of the prose around it. One candidate, never the best of many."""

from __future__ import annotations

MAX_TEXT = 60_000
_LANGUAGES = ("asp", "clingo", "lp", "gringo", "prolog")


def program_of(text: str) -> str:
    """The one candidate program of a text.

    What stands after a closed `</think>` counts. Fenced blocks are joined in their order (those that name an ASP language, where
    any does), so an answer that holds several programs is all of them together. Without fences, lines of prose are taken
    off both ends.
    """
    text = text.replace("\r\n", "\n").rpartition("</think>")[2]
    blocks = _fenced(text)
    if blocks:
        named = [body for language, body in blocks if language in _LANGUAGES]
        return "\n".join(named or [body for _, body in blocks]).strip()
    lines = text.strip().split("\n")
    first, last = 0, len(lines)
    while first < last and _is_prose(lines[first]):
        first += 1
    while first < last and _is_prose(lines[last - 1]):
        last -= 1
    return "\n".join(lines[first:last]).strip("`\n ")


def _fenced(text: str) -> list[tuple[str, str]]:
    """`(language, body)` of each fenced block; an open one reaches to the end."""
    blocks: list[tuple[str, str]] = []
    body: list[str] | None = None
    language = ""
    for line in text.split("\n"):
        mark = line.strip()
        if not mark.startswith("```"):
            if body is not None:
                body.append(line)
        elif body is None:
            language, body = mark.strip("`").strip().lower(), []
        else:
            blocks.append((language, "\n".join(body)))
            body = None
    if body is not None:
        blocks.append((language, "\n".join(body)))
    return blocks


def _is_prose(line: str) -> bool:
    """Blank, a heading, an item of a list, or words: three in a row, or one with a capital, before any sign that only a program has."""
    line = line.strip()
    if not line or line == "---" or line.startswith(("# ", "## ", "### ", "**", "> ", "* ")):
        return True
    if line.startswith(("%", ":-", ":~", "#", "{", "}", "-")):
        return False
    if line.endswith((":", "!", "?")) and not any(sign in line for sign in "({="):
        return True
    words = line.split(" ", 3)
    if words[0][:-1].isdigit() and words[0].endswith("."):
        return True
    if len(words) < 3:
        return words[0][0].isupper() and len(words[0]) > 1 and all(_is_word(word) for word in words)
    return words[0] != "not" and all(_is_word(word) for word in words[:3])


def _is_word(word: str) -> bool:
    return word.strip(",.'’`").replace("'", "").replace("-", "").isalpha()

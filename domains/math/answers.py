"""From a model's text to its final answer: what was claimed, for which variable.

The final answer stands behind the last `Answer:` or `answer is`, or in the last line with a `\\boxed{…}`, whichever comes later. Without
either it is the last line: as an expression, else, as is usual for models that were not taught a format, the values it gives to
names (`Therefore, x = 5.`), else its last number (`15% of 80 is 12.`). So a text with several contradictory final answers is judged by the last, and
several values in one final answer are all compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from domains.math.expressions import FUNCTIONS, TooLarge, Tree, Unparsable, parse
from domains.math.regions import SIGN

MAX_PREDICTION = 20_000
"""Characters; a longer answer is refused unread."""
MAX_ANSWER = 1000
"""Characters of the final answer."""
MAX_PARTS = 12
"""Values in one answer (roots, unknowns)."""
_MARKER = re.compile(r"(?i)(?:^|(?<=[\s,*#>_-]))(?:final\s+)?answer[\s*_]*(?:is|:|=)[\s*_:]*|^####\s+")
_BOLD = re.compile(r"(?:^|(?<=\s))\*\*([^*]+)\*\*(?=[\s.,;:!]|$)")
_NAMED = re.compile(
    r"(?<![A-Za-z])([a-z]\s*=\s*[-+±]?\s*[\d.]+(?:\s*/\s*\d+)?)(?![\w^*(/]|\s*[-+*/^=]\s*[\w(])", re.ASCII
)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?(?![\w^])", re.ASCII)
_UNIT = re.compile(
    r"(?<=[\d)}\s])\s?(?:\\text\{[^{}]{0,40}\}|\\mathrm\{[^{}]{0,40}\}|\\?%|°|"
    r"(?:km|cm|mm|dm|kg|mg|ml|mL|hr|[A-Za-z]{3,})(?:(?:\s?/\s?|\s)[A-Za-z]+)*(?:\^?[23²³])?)\.?\s*$"
)
_LEADING = re.compile(r"^(?:[A-Za-z]{2,}:?\s)+(?=[-\d.$\\(]|[a-zA-Z]\s?=)")
_NEGATIONS = frozenset(
    {"not", "no", "never", "neither", "nor", "cannot", "except", "wrong", "incorrect", "false"}
    | {"than", "less", "least", "most", "approximately", "roughly"}
)
"""Words by which a sentence does not state the number in it."""
_DENIALS = _NEGATIONS | {"without", "is", "was", "more", "about", "plus", "minus", "times", "over"}
"""Words around a number that make it another claim than the number."""
_NAME = re.compile(r"^\s*([a-zA-Z])(?:_?\{?[0-9₀-₉]\}?)?\s*$")
_LABEL = re.compile(r"^\s*[A-Za-z][A-Za-z ]+[A-Za-z]\s*$")
_FUNCTION = re.compile(
    r"^\s*(?:[a-zA-Z]'*\([a-z]\)|[a-zA-Z]'+|(?:d[a-z]?/d[a-z]|\\[dt]?frac\{d[a-z]?\}\{d[a-z]\}).*|\\int.*|∫.*)\s*$"
)
_TUPLE = re.compile(r"^\(([a-z\s,]{3,40})\)\s*=\s*\(([^()]*)\)$")
_WRITTEN = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\{\s*([-+]?\d[\d.,/]*(?:\s[A-Za-z]{2,20})?)\s*\}")


@dataclass(frozen=True)
class Part:
    """One value of an answer."""

    variable: str | None
    tree: Tree
    chain: tuple[Tree, ...] = ()
    """What the answer says equals the value: `x = 6/2 = 3` has `6/2`."""


def final_answer(prediction: str) -> str | None:
    """The text of the final answer, or None where there is none. Raises TooLarge for a prediction beyond the limit."""
    if len(prediction) > MAX_PREDICTION:
        raise TooLarge(f"{len(prediction)} characters, at most {MAX_PREDICTION}")
    lines = [line.strip() for line in _box_in_one_line(prediction.replace("\x00", " ")).split("\n")]
    lines = [line for line in lines if line]
    for number in range(len(lines) - 1, -1, -1):
        behind = _MARKER.split(lines[number])[1:]
        if behind and not behind[-1].strip(" *_$") and number + 1 < len(lines):
            return _unboxed(lines[number + 1])[0] or None  # `Answer:` and the value below it
        if behind:
            return _unboxed(behind[-1].strip())[0] or None
        if "\\boxed{" in lines[number]:
            return ", ".join(_unboxed(lines[number])[1]) or None
    last = lines[-1] if lines else ""
    return last if re.search(r"[0-9=]", last) and len(last) <= 200 else None


def _box_in_one_line(text: str) -> str:
    """The last box, where it is closed soon, without line breaks in it."""
    start = text.rfind("\\boxed{") + 7
    content = _braces(text[start - 1 : start + MAX_ANSWER], 0) if start >= 7 else ""
    closed = "\n" in content and text[start + len(content) : start + len(content) + 1] == "}"
    return text[:start] + content.replace("\n", " ") + text[start + len(content) :] if closed else text


def _unboxed(line: str) -> tuple[str, list[str]]:
    """The line with each `\\boxed{…}` replaced by what it holds, and those contents. Raises TooLarge for too many."""
    contents: list[str] = []
    while (start := line.find("\\boxed{")) >= 0:
        if len(contents) == MAX_PARTS:
            raise TooLarge(f"more than {MAX_PARTS} boxes in one answer")
        content = _braces(line, start + 6)
        contents.append(content)
        line = line[:start] + content + line[start + 8 + len(content) :]
    return line.strip(), contents


def _braces(text: str, start: int) -> str:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 1 : position]
    return text[start + 1 :]


def read_answer(text: str) -> list[Part]:
    """The values in an answer: `x = 2 or x = 3` → two parts. Raises Unparsable or TooLarge."""
    if len(text) > MAX_ANSWER:
        raise TooLarge(f"an answer of {len(text)} characters, at most {MAX_ANSWER}")
    pieces = [piece for piece in re.split(r"\s(?:or|and)\s|[;,]|\\\\", _plain(text)) if piece.strip()]
    if not pieces:
        raise Unparsable("empty")
    if len(pieces) > MAX_PARTS:
        raise TooLarge(f"{len(pieces)} values in one answer, at most {MAX_PARTS}")
    parts: list[Part] = []
    for piece in pieces:
        variable, chain, value = _sides(piece)
        if variable is None and parts and "=" not in piece:
            variable = parts[-1].variable  # `x = 2 or 3`
        parts += [Part(variable, parse(signed), chain) for signed in _signs(value)]
    return parts


def read_prose(line: str) -> list[Part]:
    """The values that a sentence ends in: those it gives to names, else its last number. Raises Unparsable where there is none."""
    line = _plain(line[-300:])
    if line.endswith("?") or SIGN.search(line) or not _NEGATIONS.isdisjoint(re.findall(r"[a-z]+", line.lower())):
        raise Unparsable("a sentence that states no value")
    named = list(dict.fromkeys(_NAMED.findall(line)))
    numbers = named or _NUMBER.findall(line)[-1:]
    if not numbers:
        raise Unparsable("no value in the last line")
    return read_answer(", ".join(numbers))


def _plain(text: str) -> str:
    """Without delimiters of mathematics, of sets and of emphasis, without thousands separators, with single spaces."""
    text = re.sub(r"\\[()\[\]{},;:!\s]|[$~]", " ", _BOLD.sub(r"\1", text.replace("{,}", ",")))
    text = re.sub(r"\\(?:text|mathrm)\{\s*(or|and|[Cc])\s*\}", r" \1 ", text)
    text = _WRITTEN.sub(r" \1 ", text)
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", text)
    text = " ".join(text.split()).lstrip("*_` ").rstrip("*_`.;,! ")
    if named := _TUPLE.match(text):
        pairs = list(zip(named[1].split(","), named[2].split(","), strict=False))
        if named[1].count(",") == named[2].count(","):
            return ", ".join(f"{name.strip()} = {value.strip()}" for name, value in pairs)
    if re.match(r"^\([^()]*,[^()]*\)$", text):
        return text[1:-1]
    return re.sub(r"(^|=|∈|\\in)\s?\{([^{}]*)\}$", r"\1 \2", text)  # a set: {2, 3}


def _sides(piece: str) -> tuple[str | None, tuple[Tree, ...], str]:
    """`x = 6/2 = 3` → ('x', (6/2,), '3'); `f'(x) = 2x` → (None, (), '2x'); `change = 3` → (None, (), '3')."""
    *left, right = re.split(r"=|\\in\b|∈", piece)
    if left:
        left[0] = re.sub(_LEADING, _unless_denied, left[0].strip() + " =").removesuffix("=")
    names = [match[1] for side in left if (match := _NAME.match(side))]
    others = [side for side in left if not _NAME.match(side) and not _FUNCTION.match(side)]
    chain = tuple(parse(_without_unit(side)) for side in others if not _is_label(side))
    return (names[0] if names else None), chain, _without_unit(right)


def _is_label(side: str) -> bool:
    return bool(_LABEL.match(side)) and len(side.strip()) > 2 and not _denied(side)


def _denied(words: str) -> bool:
    return not _DENIALS.isdisjoint(re.findall(r"[a-z]+", words.lower()))


def _unless_denied(match: re.Match[str]) -> str:
    words = match[0].lower().split()
    if words[-1] == "is":  # `the change is 5`
        words.pop()
    return match[0] if _denied(" ".join(words)) else ""


def _without_unit(text: str) -> str:
    text = re.sub(_LEADING, _unless_denied, text.strip()).strip()
    text = re.sub(r"^(?:USD|EUR|Rs\.?|[€£₹])\s?", "", text)
    unit = _UNIT.search(text)
    if unit and unit.start() > 0 and not _denied(unit[0]) and not any(name in unit[0] for name in (*FUNCTIONS, "pi")):
        text = text[: unit.start()]
    return text.strip().rstrip(".")


def _signs(expression: str) -> list[str]:
    """`±3` → `+3` and `-3`."""
    sign = next((sign for sign in ("±", "\\pm", "+/-") if sign in expression), None)
    return [expression] if sign is None else [expression.replace(sign, " + ", 1), expression.replace(sign, " - ", 1)]

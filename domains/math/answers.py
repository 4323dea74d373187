"""From a model's text to its final answer: what was claimed, for which variable.

The answer is what follows the last `answer is` or `Answer:`, or the content of the last `\\boxed{…}`, whichever stands later. Without either it is
the last line: as an expression, else by the values it gives to names (`Therefore, x = 5.`), else by its last number (`15% of 80 is 12.`), as is usual
for models that were not taught a format. A text with several contradictory final answers is judged by the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from domains.math.expressions import FUNCTIONS, TooLarge, Tree, Unparsable, parse

MAX_PREDICTION = 20_000
"""Characters; a longer answer is refused unread."""
MAX_PARTS = 12
"""Values in one answer (roots, unknowns)."""
_MARKER = re.compile(r"(?im)(?:^|(?<=[\s,*#>_-]))(?:final\s+)?answer[\s*_]*(?:is|:|=)[\s*_:]*(.*)$")
_BOLD = re.compile(r"(?:^|(?<=\s))\*\*([^*]+)\*\*(?=[\s.,;:!]|$)")
_NAMED = re.compile(r"(?<![A-Za-z])([a-z]\s*=\s*[-+±]?\s*[\d.]+(?:\s*/\s*\d+)?)(?![\w^*(/]|\s*[-+*/^=]\s*[\w(])")
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?(?![\w^])")
_UNIT = re.compile(
    r"(?<=[\d)}\s])\s*(?:\\text\{[^{}]{0,40}\}|\\mathrm\{[^{}]{0,40}\}|%|\\%|°|[A-Za-z]{2,}(?:[ /][A-Za-z]+)*|km/h)\.?\s*$"
)
_LEADING = re.compile(r"^\s*(?:[A-Za-z]{2,}\s+)+(?=[-\d.$\\(]|[a-z]\s*=)")
_LEFT_SIDE = re.compile(r"^\s*([a-zA-Z])\s*$")
_FUNCTION_SIDE = re.compile(r"^\s*(?:[a-zA-Z]'*\([a-z]\)|[a-zA-Z]'+|d[a-z]?/d[a-z]|.*\\int.*|.*∫.*|F\([a-z]\))\s*$")


@dataclass(frozen=True)
class Part:
    """One value of an answer."""

    variable: str | None
    tree: Tree


def final_answer(prediction: str) -> str | None:
    """The text of the final answer, or None where there is none. Raises TooLarge for a prediction beyond the limit."""
    if len(prediction) > MAX_PREDICTION:
        raise TooLarge(f"{len(prediction)} characters, at most {MAX_PREDICTION}")
    text = prediction.replace("\x00", " ").strip()
    found: list[tuple[int, str]] = [(match.start(1), match[1]) for match in _MARKER.finditer(text)]
    start = text.rfind("\\boxed{")
    if start >= 0:
        found.append((start, _braces(text, start + 6)))
    if found:
        answer = max(found)[1].strip()
        return _boxed(answer) or None
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()
    return last if re.search(r"[\d=]", last) and len(last) <= 200 else None


def _boxed(answer: str) -> str:
    start = answer.find("\\boxed{")
    return _braces(answer, start + 6) if start >= 0 else answer


def _braces(text: str, start: int) -> str:
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 1 : position]
    return text[start + 1 :]


def read_prose(line: str) -> list[Part]:
    """The values that a sentence ends in: those it gives to names, else its last number. Raises Unparsable where there is none."""
    line = _BOLD.sub(r"\1", line[-300:])
    named = _NAMED.findall(line)
    if named:
        return read_answer(", ".join(dict.fromkeys(named)))
    numbers = _NUMBER.findall(line)
    if not numbers:
        raise Unparsable("no value in the last line")
    return read_answer(numbers[-1])


def read_answer(text: str) -> list[Part]:
    """The values in an answer: `x = 2 or x = 3` → two parts. Raises Unparsable or TooLarge."""
    if len(text) > 1000:
        raise TooLarge(f"an answer of {len(text)} characters, at most 1000")
    text = _BOLD.sub(r"\1", text)
    text = re.sub(r"\\[()\[\]]|\$|\*\*(?=\s*$)|^\*\*", " ", text.strip()).strip().rstrip(".;,!* ")
    text = re.sub(r"(^|=|∈|\\in)\s*\\?\{(.*?)\\?\}$", r"\1 \2", text)  # a set: {2, 3}
    text = re.sub(r"\\(?:text|mathrm)\{\s*(or|and)\s*\}", r" \1 ", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    pieces = [piece for piece in re.split(r"\s+(?:or|and)\s+|[;,]|\\\\", text) if piece.strip()]
    if not pieces:
        raise Unparsable("empty")
    if len(pieces) > MAX_PARTS:
        raise TooLarge(f"{len(pieces)} values in one answer, at most {MAX_PARTS}")
    parts: list[Part] = []
    for piece in pieces:
        variable, expression = _sides(piece)
        if variable is None and parts and parts[-1].variable is not None and "=" not in piece:
            variable = parts[-1].variable  # `x = 2 or 3`
        for signed in _signs(expression):
            parts.append(Part(variable, parse(signed)))
    return parts


def _sides(piece: str) -> tuple[str | None, str]:
    """`x = 6/2 = 3` → ('x', '3'); `f'(x) = 2x` → (None, '2x')."""
    *left, right = re.split(r"=|\\in\b|∈", piece)
    names = [match[1] for side in left if (match := _LEFT_SIDE.match(side))]
    for side in left:
        if not _LEFT_SIDE.match(side) and not _FUNCTION_SIDE.match(side):
            _parse_any(side)
    return (names[0] if names else None), _without_unit(right)


def _parse_any(side: str) -> None:
    """A left side that is neither a name nor an expression makes the answer prose."""
    parse(_without_unit(side))


def _without_unit(text: str) -> str:
    text = _LEADING.sub("", text.strip()).strip()
    text = re.sub(r"^(?:USD|EUR|Rs\.?|[€£₹])\s*", "", text)
    match = _UNIT.search(text)
    if match and match.start() > 0 and not any(name in match[0] for name in (*FUNCTIONS, "pi", "frac")):
        text = text[: match.start()]
    return text.strip().rstrip(".")


def _signs(expression: str) -> list[str]:
    """`±3` → `+3` and `-3`."""
    sign = next((sign for sign in ("±", "\\pm", "+/-") if sign in expression), None)
    return [expression] if sign is None else [expression.replace(sign, " + ", 1), expression.replace(sign, " - ", 1)]

"""Mathematics as text (plain or LaTeX) → a small syntax tree, without `eval`, `sympify` or SymPy.

    >>> parse(r"\\frac12 + x^2")
    ('+', ('/', ('n', '1'), ('n', '2')), ('^', ('v', 'x'), ('n', '2')))

The tree is nested tuples (JSON lists when it travels to a sandbox worker). Everything is bounded before anything is computed:
text length, digits of a number, nesting, size of an exponent. A library's LaTeX parser is not used here because it takes
milliseconds a text and reaches SymPy's evaluating constructors with whatever the model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import comb
from typing import Any

MAX_TEXT = 400
"""Characters of one expression."""
MAX_DIGITS = 30
MAX_DEPTH = 25
MAX_EXPONENT = 64
MAX_TERMS = 2000
MAX_BITS = 4096
"""Of an exact power, so that a tower of small exponents is refused before it is computed."""

Tree = Any
"""('n', digits) | ('v', name) | ('f', function, tree) | ('neg', tree) | ('+' '-' '*' '/' '^', tree, tree)."""

FUNCTIONS = frozenset({"sqrt", "sin", "cos", "tan", "ln", "log", "exp"})
CONSTANTS = frozenset({"pi", "oo"})
"""`oo` is infinity: a name with no value of its own."""
_OF_A_PRODUCT = FUNCTIONS - {"sqrt"}
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|([a-zA-Z]+)|(\*\*|[-+*/^(){}]))", re.ASCII)


def _mixed(match: re.Match[str]) -> str:
    """The mixed number `2 1/2` or `2\\frac12` as one fraction, `(5/2)`."""
    whole, top, bottom = (digits for digits in match.groups() if digits)
    if len(match[0]) > MAX_DIGITS:
        raise TooLarge(f"a number of {len(match[0])} characters, at most {MAX_DIGITS}")
    return f"({int(whole) * int(bottom) + int(top)}/{bottom})"


_REWRITES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\\(?:left|right|displaystyle|,|;|!|:|quad)|\\\s|~|\$"), " "),
    (re.compile(r"(\d+)\s*\\[dt]?frac\s*(?:\{(\d+)\}\s*\{(\d+)\}|(\d)\s*(\d))", re.ASCII), _mixed),
    (re.compile(r"(?<![\d./^*(])(\d+)\s+(\d+)/(\d+)(?![\d.])", re.ASCII), _mixed),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)", re.ASCII), r"((\1)/(\2))"),
    (re.compile(r"\\(?:cdot|times)|[×·∙⋅]"), "*"),
    (re.compile(r"\\div|÷"), "/"),
    (re.compile(r"[−–—]"), "-"),
    (re.compile(r"√\s*(\d+|[a-z])"), r"sqrt(\1)"),
    (re.compile(r"√"), "sqrt"),
    (re.compile(r"π|\\pi(?![a-z])"), " pi "),
    (re.compile(r"\\infty(?![a-z])|∞|(?<![a-zA-Z])infinity(?![a-zA-Z])"), " oo "),
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))"), ""),
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


class Unparsable(ValueError):
    """Text that is not an expression."""


class TooLarge(ValueError):
    """An expression beyond the bounds of this module."""


def parse(text: str) -> Tree:
    """The tree of one expression. Raises Unparsable, or TooLarge beyond the bounds."""
    if len(text) > MAX_TEXT:
        raise TooLarge(f"{len(text)} characters, at most {MAX_TEXT}")
    return _parsed(text)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Tree:
    tree = _Parser(_tokens(_plain(text))).whole()
    if degree(tree) > MAX_EXPONENT:
        raise TooLarge(f"a polynomial of degree {degree(tree)}, at most {MAX_EXPONENT}")
    if terms(tree) > MAX_TERMS:
        raise TooLarge(f"a polynomial of more than {MAX_TERMS} terms")
    return tree


def degree(tree: Tree) -> int:
    """At least the degree of the polynomial that multiplying out would give; powers that are not plain integers count as one."""
    head = tree[0]
    if head in ("n", "f"):
        return 0
    if head == "v":
        return 1
    if head == "neg":
        return degree(tree[1])
    left, right = degree(tree[1]), degree(tree[2])
    if head == "^":
        exponent = tree[2][1] if tree[2][0] == "n" else "1"
        return left * (int(exponent) if exponent.isdigit() else 1)
    return max(left, right) if head in "+-" else left + right


def terms(tree: Tree) -> int:
    """At most so many terms has the polynomial that multiplying out would give."""
    head = tree[0]
    if head in ("n", "v", "f"):
        return 1
    if head == "neg":
        return terms(tree[1])
    left = terms(tree[1])
    if head == "^":
        exponent = int(tree[2][1]) if tree[2][0] == "n" and tree[2][1].isdigit() else 1
        return min(comb(left + exponent - 1, exponent), MAX_TERMS + 1) if exponent <= MAX_EXPONENT else left
    right = terms(tree[2])
    return min(left + right if head in "+-" else left * right, MAX_TERMS + 1)


def to_fraction(tree: Tree) -> Fraction | None:
    """The exact value of a tree of plain numbers; None where it has variables or functions.

    Raises TooLarge for powers beyond the bound, ZeroDivisionError for division by zero.
    """
    head = tree[0]
    if head == "n":
        return Fraction(tree[1])
    if head in ("v", "f"):
        return None
    values = [to_fraction(part) for part in tree[1:]]
    if any(value is None for value in values):
        return None
    a = values[0]
    assert a is not None
    if head == "neg":
        return -a
    b = values[1]
    assert b is not None
    if head == "^":
        return _power(a, b)
    return {"+": a.__add__, "-": a.__sub__, "*": a.__mul__, "/": a.__truediv__}[head](b)


def variables(tree: Tree) -> set[str]:
    """The names of a tree's variables, constants aside."""
    if tree[0] == "v":
        return {tree[1]} - CONSTANTS
    return set().union(*(variables(part) for part in tree[1:] if isinstance(part, tuple)))


def is_number(tree: Tree) -> bool:
    """Whether a tree is a number as it is written down, not a computation: `-5`, `0.5`, `1/2`, `10^6`, `1.2*10^3`."""
    head, *parts = tree
    if head == "neg":
        return is_number(parts[0])
    if head == "/":
        return all(part[0] == "n" or (part[0] == "neg" and part[1][0] == "n") for part in parts)
    if head == "*":
        return bool(parts[0][0] == "n" and parts[1][0] == "^" and parts[1][1] == ("n", "10") and is_number(parts[1][2]))
    if head == "^":
        return bool(parts[0] == ("n", "10") and is_number(parts[1]))
    return bool(head == "n")


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1:
        return None
    if abs(exponent) > MAX_EXPONENT:
        raise TooLarge(f"exponent {exponent}, at most {MAX_EXPONENT}")
    if (base.numerator.bit_length() + base.denominator.bit_length()) * abs(exponent) > MAX_BITS:
        raise TooLarge(f"a power of more than {MAX_BITS} bits")
    return Fraction(base ** int(exponent))


def _plain(text: str) -> str:
    """LaTeX and Unicode written with the tokens of plain text."""
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda match: f"^({match[0].translate(_SUPERSCRIPTS)})", text)
    text = _braced_fractions(text)
    return re.sub(r"\\(sqrt|sin|cos|tan|ln|log|exp)(?![a-z])", r" \1 ", text)


def _braced_fractions(text: str) -> str:
    """`\\frac{a}{b}` → `((a)/(b))`; nested ones from the outside in."""
    for _ in range(MAX_DEPTH):
        match = re.search(r"\\[dt]?frac\s*(?=\{)", text)
        if match is None:
            return text
        top, after = _group(text, match.end())
        bottom, end = _group(text, after)
        text = f"{text[: match.start()]}(({top})/({bottom})){text[end:]}"
    raise TooLarge("too many nested fractions")


def _group(text: str, start: int) -> tuple[str, int]:
    """The content of the braces that open at `start`, and the position behind them."""
    while start < len(text) and text[start] == " ":
        start += 1
    if start >= len(text) or text[start] != "{":
        raise Unparsable("expected { in a fraction")
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 1 : position], position + 1
    raise Unparsable("unbalanced braces")


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unparsable(f"unexpected {text[position : position + 10]!r}")
        position = match.end()
        number, word, operator = match.groups()
        if number:
            if len(number) > MAX_DIGITS:
                raise TooLarge(f"a number of {len(number)} digits, at most {MAX_DIGITS}")
            tokens.append(number)
        elif word:
            tokens += [word] if word in FUNCTIONS or word in CONSTANTS or len(word) == 1 else _letters(word)
        else:
            tokens.append({"**": "^", "{": "(", "}": ")"}.get(operator, operator))
    return tokens


def _letters(word: str) -> list[str]:
    """`xy` is a product of two variables; a longer word is prose."""
    if len(word) == 2:
        return list(word)
    raise Unparsable(f"unknown word {word[:20]!r}")


class _Parser:
    """Recursive descent: sum → product (implicit too) → unary → power → atom."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    def whole(self) -> Tree:
        if not self.tokens:
            raise Unparsable("empty")
        tree = self.sum()
        if self.position < len(self.tokens):
            raise Unparsable(f"unexpected {self.tokens[self.position]!r}")
        return tree

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"nested more than {MAX_DEPTH} deep")
        tree = self.product()
        while self.peek() in ("+", "-"):
            tree = (self.take(), tree, self.product())
        self.depth -= 1
        return tree

    def product(self) -> Tree:
        tree = self.unary()
        while True:
            token = self.peek()
            if token in ("*", "/"):
                tree = (self.take(), tree, self.unary())
            elif token and (token == "(" or token[0].isalpha()):
                tree = ("*", tree, self.power())
            else:
                return tree

    def unary(self) -> Tree:
        signs = 0
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
            signs += 1
            if signs > MAX_DEPTH:
                raise TooLarge("too many signs")
        tree = self.power()
        return ("neg", tree) if negative else tree

    def argument(self, function: str) -> Tree:
        """`cos(2x)`; `cos 2x` too, as it is written by hand."""
        bare = self.peek() != "("
        tree = self.power()
        while bare and function in _OF_A_PRODUCT and self.peek().isalpha() and self.peek() not in FUNCTIONS:
            tree = ("*", tree, self.power())
        return tree

    def power(self) -> Tree:
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge("too many nested powers")
        exponent = self.unary()
        self.depth -= 1
        return ("^", base, exponent)

    def atom(self) -> Tree:
        token = self.take()
        if token and (token[0].isdigit() or token[0] == "."):
            return ("n", token)
        if token == "(":
            tree = self.sum()
            if self.take() != ")":
                raise Unparsable("unbalanced brackets")
            return tree
        if token in FUNCTIONS:
            return ("f", token, self.argument(token))
        if token and token.isalpha():
            return ("v", token)
        raise Unparsable(f"expected a number or a variable, found {token or 'the end'!r}")

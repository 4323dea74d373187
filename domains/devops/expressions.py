"""The expression language of blueprints: exact numbers, bounded before they are computed, and no `eval` anywhere.

    >>> evaluate("rate * wait + min(3, 1/2)", {"rate": Fraction(120), "wait": Fraction("0.25")})
    Fraction(61, 2)

Values are fractions, texts and lists of them; there are no floats, so a result is the same on every machine. Operators, loosest first:
`a if c else b` · `or` · `and` · `not` · `== != < <= > >=` · `+ -` · `* / // %` · unary `-` · `^` (also `**`). Names are slots, results of earlier
steps and constants of the framework; FUNCTIONS are all there is to call. An own parser rather than Python's `ast`: the same one reads the
arithmetic in a model's answer, which must be bounded before anything is built from it. Roots, logarithms and powers that are no fractions are taken
to 40 digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from functools import lru_cache
from typing import Any

Value = Any
"""Fraction | str | list of these; a condition gives a bool."""
Tree = tuple[Any, ...]

MAX_TEXT = 300
"""Characters of one expression."""
MAX_DEPTH = 30
MAX_DIGITS = 30
"""Digits of one number."""
MAX_BITS = 4096
"""Of a numerator or denominator."""
MAX_ITEMS = 100
_TOKEN = re.compile(
    r"\s*(?:([0-9]+(?:\.[0-9]+)?)|([A-Za-z_][A-Za-z0-9_]*)|'([^'\n]*)'|(\*\*|//|==|!=|<=|>=|[-+*/%^()<>,]))", re.ASCII
)
_CONTEXT = Context(prec=40, Emax=2000, Emin=-2000)
_WORDS = frozenset({"if", "else", "or", "and", "not"})


class ExpressionError(ValueError):
    """Text that is not an expression, or one that cannot be computed."""


class TooLarge(ExpressionError):
    """Beyond the bounds of this module."""


def evaluate(text: str, values: Mapping[str, Value]) -> Value:
    """The value of an expression. Raises ExpressionError (TooLarge beyond the bounds), whatever the text is."""
    return compute(parse(text), values)


@lru_cache(maxsize=4096)
def parse(text: str) -> Tree:
    """The tree of an expression of a blueprint, kept for the next time."""
    return parse_once(text)


def parse_once(text: str) -> Tree:
    """The tree of an expression: ('n', Fraction) | ('s', text) | ('v', name) | ('f', name, …) | (operator, …)."""
    if len(text) > MAX_TEXT:
        raise TooLarge(f"an expression of {len(text)} characters, at most {MAX_TEXT}")
    return _Parser(_tokens(text)).whole()


def names(tree: Tree) -> list[str]:
    """The names an expression needs, each once, in order of appearance."""
    if tree[0] == "v":
        return [tree[1]]
    found = [name for part in tree[1:] if isinstance(part, tuple) for name in names(part)]
    return list(dict.fromkeys(found))


def compute(tree: Tree, values: Mapping[str, Value]) -> Value:
    """The value of a tree."""
    head = tree[0]
    if head in ("n", "s"):
        return tree[1]
    if head == "v":
        if tree[1] not in values:
            raise ExpressionError(f"unknown name '{tree[1]}'")
        return values[tree[1]]
    if head == "f":
        return _call(tree[1], [compute(part, values) for part in tree[2:]])
    if head == "if":
        return compute(tree[2] if _truth(compute(tree[1], values)) else tree[3], values)
    if head in ("and", "or"):
        first = _truth(compute(tree[1], values))
        return first if first is (head == "or") else _truth(compute(tree[2], values))
    if head == "not":
        return not _truth(compute(tree[1], values))
    return _operate(head, [compute(part, values) for part in tree[1:]])


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position, text = 0, text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(f"unexpected {text[position : position + 10]!r}")
        kind = ("number", "name", "text", "operator")[(match.lastindex or 1) - 1]
        word = match[match.lastindex or 1]
        if kind == "number" and len(word) > MAX_DIGITS:
            raise TooLarge(f"a number of {len(word)} digits, at most {MAX_DIGITS}")
        tokens.append(("operator" if word in _WORDS else kind, "^" if word == "**" else word))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over tokens, with a bound on depth."""

    LEVELS = ({"or"}, {"and"}, {"not"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "//", "%"})

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def whole(self) -> Tree:
        tree = self.choice()
        if self.at < len(self.tokens):
            raise ExpressionError(f"unexpected '{self.tokens[self.at][1]}'")
        return tree

    def take(self, *operators: str) -> str | None:
        if (
            self.at < len(self.tokens)
            and self.tokens[self.at][0] == "operator"
            and self.tokens[self.at][1] in operators
        ):
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def need(self, operator: str) -> None:
        if not self.take(operator):
            raise ExpressionError(f"expected '{operator}'")

    def choice(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"nested deeper than {MAX_DEPTH}")
        tree = self.binary(0)
        if self.take("if"):
            condition = self.binary(0)
            self.need("else")
            tree = ("if", condition, tree, self.choice())
        self.depth -= 1
        return tree

    def binary(self, level: int) -> Tree:
        if level == len(self.LEVELS):
            return self.unary()
        if level == 2:
            return ("not", self.deeper(lambda: self.binary(2))) if self.take("not") else self.binary(3)
        tree = self.binary(level + 1)
        while operator := self.take(*self.LEVELS[level]):
            tree = (operator, tree, self.binary(level + 1))
            if level == 3 and self.at < len(self.tokens) and self.tokens[self.at][1] in self.LEVELS[3]:
                raise ExpressionError("a < b < c: write a < b and b < c")
        return tree

    def deeper(self, read: Callable[[], Tree]) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"nested deeper than {MAX_DEPTH}")
        tree = read()
        self.depth -= 1
        return tree

    def unary(self) -> Tree:
        if self.take("-"):
            return ("neg", self.deeper(self.unary))
        if self.take("+"):
            return self.deeper(self.unary)
        base = self.atom()
        return ("^", base, self.deeper(self.unary)) if self.take("^") else base

    def atom(self) -> Tree:
        if self.take("("):
            tree = self.choice()
            self.need(")")
            return tree
        if self.at == len(self.tokens) or self.tokens[self.at][0] == "operator":
            found = f"'{self.tokens[self.at][1]}'" if self.at < len(self.tokens) else "the end"
            raise ExpressionError(f"expected a value, found {found}")
        kind, word = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return ("n", Fraction(word))
        if kind == "text":
            return ("s", word)
        if not self.take("("):
            return ("v", word)
        if word not in FUNCTIONS:
            raise ExpressionError(f"unknown function '{word}': known are {', '.join(sorted(FUNCTIONS))}")
        arguments = [self.choice()]
        while self.take(","):
            arguments.append(self.choice())
        self.need(")")
        return ("f", word, *arguments)


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError("expected a condition")
    return value


def number(value: Value) -> Fraction:
    """`value` as a number. Raises ExpressionError for a text, a list or a condition, TooLarge beyond the bounds."""
    if type(value) is not Fraction:
        if type(value) is not int:
            raise ExpressionError(f"expected a number, found {str(value)[:40]!r}")
        value = Fraction(value)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge(f"a number of more than {MAX_BITS} bits")
    return value


def whole(value: Value, least: int = 0, most: int = 10**9) -> int:
    """`value` as an int in a range."""
    exact = number(value)
    if exact.denominator != 1 or not least <= exact <= most:
        raise ExpressionError(f"expected a whole number from {least} to {most}, found {str(exact)[:40]}")
    return int(exact)


def _operate(operator: str, operands: list[Value]) -> Value:
    if operator in ("==", "!="):
        return (operands[0] == operands[1]) is (operator == "==")
    a = number(operands[0])
    if operator == "neg":
        return -a
    b = number(operands[1])
    if operator in ("/", "//", "%") and b == 0:
        raise ExpressionError("division by zero")
    if operator == "^":
        return _power(a, b)
    if operator in _COMPARE:
        return _COMPARE[operator](a, b)
    return number(_ARITHMETIC[operator](a, b))


_COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": Fraction.__lt__,
    "<=": Fraction.__le__,
    ">": Fraction.__gt__,
    ">=": Fraction.__ge__,
}
_ARITHMETIC: dict[str, Callable[[Fraction, Fraction], Any]] = {
    "+": Fraction.__add__,
    "-": Fraction.__sub__,
    "*": Fraction.__mul__,
    "/": Fraction.__truediv__,
    "//": Fraction.__floordiv__,
    "%": Fraction.__mod__,
}


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if abs(exponent) > MAX_BITS:
        raise TooLarge(f"an exponent beyond {MAX_BITS}")
    if exponent.denominator != 1:
        if base <= 0:
            raise ExpressionError("a root of a number that is not positive")
        return _decimal(lambda: _CONTEXT.power(_as_decimal(base), _as_decimal(exponent)))
    if base == 0 and exponent < 0:
        raise ExpressionError("division by zero")
    if max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent) > 2 * MAX_BITS:
        raise TooLarge(f"a power of more than {MAX_BITS} bits")
    return number(Fraction(base ** int(exponent)))


def _as_decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _decimal(computation: Callable[[], Decimal]) -> Fraction:
    try:
        result = computation()
    except (DecimalException, OverflowError) as error:
        raise TooLarge("a result beyond the bounds") from error
    if not result.is_finite() or abs(result.adjusted()) > 1000:
        raise TooLarge("a result beyond the bounds")
    return number(Fraction(result))


def _sqrt(value: Fraction) -> Fraction:
    if value < 0:
        raise ExpressionError("the square root of a negative number")
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return _decimal(lambda: _as_decimal(value).sqrt(_CONTEXT))


def _logarithm(base: int | None) -> Callable[[Fraction], Fraction]:
    def logarithm(value: Fraction) -> Fraction:
        if value <= 0:
            raise ExpressionError("the logarithm of a number that is not positive")
        if base is None:
            return _decimal(lambda: _as_decimal(value).ln(_CONTEXT))
        size = max(value.numerator, value.denominator)
        power = round(math.log(size, base))
        if Fraction(base) ** (power if value >= 1 else -power) == value:
            return Fraction(power if value >= 1 else -power)
        return _decimal(lambda: _CONTEXT.divide(_as_decimal(value).ln(_CONTEXT), Decimal(base).ln(_CONTEXT)))

    return logarithm


def _exp(value: Fraction) -> Fraction:
    if abs(value) > 1000:
        raise TooLarge("an exponential beyond the bounds")
    return _decimal(lambda: _as_decimal(value).exp(_CONTEXT))


def rounded(value: Fraction, digits: int) -> Fraction:
    """Half away from zero, as it is taught: `rounded(Fraction("2.345"), 2)` → 2.35."""
    scaled = abs(value) * 10**digits
    up = Fraction(math.floor(scaled + Fraction(1, 2)), 10**digits)
    return up if value >= 0 else -up


def in_base(value: Fraction, base: Fraction) -> str:
    """Digits of a whole number: `in_base(10, 2)` → '1010'."""
    left, radix, digits = whole(value, 0, 2**128), whole(base, 2, 16), ""
    while left or not digits:
        left, digit = divmod(left, radix)
        digits = "0123456789ABCDEF"[digit] + digits
    return digits


def from_base(text: Value, base: Fraction) -> Fraction:
    """`from_base('1010', 2)` → 10."""
    text = str(text)
    radix = whole(base, 2, 16)
    digits = [("0123456789ABCDEF".find(digit)) for digit in text.upper()]
    if not 1 <= len(digits) <= 128 or not all(0 <= digit < radix for digit in digits):
        raise ExpressionError(f"{text[:40]!r} is no number in base {radix}")
    return Fraction(sum(digit * radix**place for place, digit in enumerate(reversed(digits))))


def _median(*values: Fraction) -> Fraction:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


_NUMERIC: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "abs": (1, 1, abs),
    "floor": (1, 1, math.floor),
    "ceil": (1, 1, math.ceil),
    "round": (1, 2, lambda value, digits=Fraction(0): rounded(value, whole(digits, 0, 12))),
    "sqrt": (1, 1, _sqrt),
    "log2": (1, 1, _logarithm(2)),
    "log10": (1, 1, _logarithm(10)),
    "ln": (1, 1, _logarithm(None)),
    "exp": (1, 1, _exp),
    "gcd": (2, 2, lambda a, b: math.gcd(whole(a, 0, 10**30), whole(b, 0, 10**30))),
    "lcm": (2, 2, lambda a, b: math.lcm(whole(a, 0, 10**30), whole(b, 0, 10**30))),
    "comb": (2, 2, lambda n, k: math.comb(whole(n, 0, 200), whole(k, 0, 200))),
    "factorial": (1, 1, lambda n: math.factorial(whole(n, 0, 50))),
    "in_base": (2, 2, in_base),
}
_OVER_LISTS: dict[str, Callable[..., Any]] = {
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "sum": lambda *values: sum(values, Fraction(0)),
    "prod": lambda *values: math.prod(values, start=Fraction(1)),
    "mean": lambda *values: sum(values, Fraction(0)) / len(values),
    "median": _median,
    "len": lambda *values: len(values),
}
FUNCTIONS = frozenset({*_NUMERIC, *_OVER_LISTS, "from_base"})
"""All functions of the language; those from `min` to `len` take a list or several numbers."""


def _call(name: str, arguments: list[Value]) -> Value:
    if name == "from_base":
        if len(arguments) != 2:
            raise ExpressionError("from_base takes 2 arguments")
        return from_base(arguments[0], number(arguments[1]))
    if name in _OVER_LISTS:
        items = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else arguments
        if not 1 <= len(items) <= MAX_ITEMS:
            raise TooLarge(f"{len(items)} items, 1 to {MAX_ITEMS} are taken")
        if name == "prod" and sum(_bits(number(item)) for item in items) > 2 * MAX_BITS:
            raise TooLarge(f"a product of more than {MAX_BITS} bits")
        return number(_OVER_LISTS[name](*[number(item) for item in items]))
    least, most, function = _NUMERIC[name]
    if not least <= len(arguments) <= most:
        raise ExpressionError(f"{name} takes {least if least == most else f'{least} or {most}'} arguments")
    result = function(*[number(argument) for argument in arguments])
    return result if isinstance(result, str) else number(result)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())

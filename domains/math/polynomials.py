"""Expressions as exact quotients of polynomials: most comparisons are decided here, in microseconds, without SymPy.

    >>> same(parse("2x(6x^2 + 1)"), parse("12x^3 + 2x"))
    True

Square roots of numbers are kept as products of square roots of primes, which are linearly independent over the rationals, so an
expression of variables, numbers and such roots has one normal form, and both answers of `same` are proofs. Another function (`sin(2x)`) is
taken for a variable of its own: `True` is then still a proof, and `False` is told by values at a few points or not at all (None).
Sizes are bounded: beyond them the answer is None, and SymPy decides in the sandbox.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from fractions import Fraction

from domains.math.expressions import MAX_BITS, MAX_EXPONENT, TooLarge, Tree

Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, Fraction]
MAX_TERMS = 120
MAX_ROOT = 10**10
"""Under a root that is taken apart into primes."""
ROOT = "√"
ONE: Polynomial = {(): Fraction(1)}


class Beyond(Exception):
    """Larger than this module takes on."""


@dataclass(frozen=True)
class Quotient:
    """`top / bottom`; `exact` says that two different normal forms are two different values."""

    top: Polynomial
    bottom: Polynomial
    exact: bool = True


def normal(tree: Tree) -> Quotient | None:
    """The normal form of a tree; None beyond the bounds. Raises ZeroDivisionError."""
    try:
        return _normal(tree)
    except (Beyond, RecursionError):
        return None


def same(one: Tree, other: Tree) -> bool | None:
    """Whether two trees have one value wherever both have one; None where that is not decided here. Raises ZeroDivisionError."""
    a, b = normal(one), normal(other)
    if a is None or b is None:
        return None
    try:
        if not subtract(multiply(a.top, b.bottom), multiply(b.top, a.bottom)):
            return True
    except Beyond:
        return None
    if a.exact and b.exact:
        return False
    return False if differ(one, other) else None


def same_up_to_constant(one: Tree, other: Tree, variable: str) -> bool | None:
    """Whether two trees differ by something without `variable`; None where that is not decided here."""
    form = normal(("-", one, other))
    if form is None:
        return None
    used = names(form.top) | names(form.bottom)
    if variable not in used and not any(f"'{variable}'" in name for name in used):
        return True
    try:
        slope = subtract(
            multiply(slope_of(form.top, variable), form.bottom), multiply(form.top, slope_of(form.bottom, variable))
        )
    except Beyond:
        return None
    if form.exact:
        return not slope
    near, far = _Point(1), _Point(1)
    far[variable] = near[variable] + 0.37
    try:
        (a, rough_a), (b, rough_b) = (_value(("-", one, other), at) for at in (near, far))
    except (ArithmeticError, ValueError):
        return None
    size = max(rough_a, rough_b)
    return False if math.isfinite(size) and abs(a - b) > 1e-6 * max(1.0, size) else None


def slope_of(terms: Polynomial, variable: str) -> Polynomial:
    """The derivative of a polynomial, other names held fixed."""
    result: Polynomial = {}
    for monomial, c in terms.items():
        power = dict(monomial).get(variable, 0)
        if power:
            lower = tuple((name, p - (name == variable)) for name, p in monomial if name != variable or p > 1)
            result[lower] = result.get(lower, Fraction(0)) + c * power
    return result


def polynomial(tree: Tree) -> Polynomial | None:
    """The tree as a polynomial in its variables; None where it is none (or none is found)."""
    form = normal(tree)
    if form is None or not form.exact or set(form.bottom) != {()}:
        return None
    return {m: c / form.bottom[()] for m, c in form.top.items()}


def names(terms: Polynomial) -> set[str]:
    """The variables, square roots among them."""
    return {name for monomial in terms for name, _ in monomial}


def _normal(tree: Tree) -> Quotient:
    head = tree[0]
    if head == "n":
        return Quotient(_constant(Fraction(tree[1])), ONE)
    if head == "v":
        return Quotient({((tree[1], 1),): Fraction(1)}, ONE)
    if head == "f":
        return _function(tree[1], _normal(tree[2]))
    left = _normal(tree[1])
    if head == "neg":
        return Quotient({m: -c for m, c in left.top.items()}, left.bottom, left.exact)
    if head == "^":
        return _power(tree, left)
    right = _normal(tree[2])
    exact = left.exact and right.exact
    if head == "*":
        return Quotient(multiply(left.top, right.top), multiply(left.bottom, right.bottom), exact)
    if head == "/":
        if not right.top:
            raise ZeroDivisionError
        return Quotient(multiply(left.top, right.bottom), multiply(left.bottom, right.top), exact)
    a, b = multiply(left.top, right.bottom), multiply(right.top, left.bottom)
    top = subtract(a, b) if head == "-" else add(a, b)
    return Quotient(top, multiply(left.bottom, right.bottom), exact)


def _constant(value: Fraction) -> Polynomial:
    return {(): value} if value else {}


def _power(tree: Tree, base: Quotient) -> Quotient:
    exponent = _normal(tree[2])
    number = _number(exponent)
    if number is None:
        if tree[1] == ("v", "e"):
            return _function("exp", exponent)
        return _atom(f"{_key(base)}^{_key(exponent)}")
    if abs(number) > MAX_EXPONENT:
        raise TooLarge(f"exponent {number}, at most {MAX_EXPONENT}")
    if tree[1] == ("v", "e"):
        return _function("exp", exponent)
    if number == Fraction(1, 2):
        return _function("sqrt", base)
    if number.denominator != 1:
        return _atom(f"{_key(base)}^{number}")
    top, bottom = (base.top, base.bottom) if number >= 0 else (base.bottom, base.top)
    if not bottom:
        raise ZeroDivisionError
    return Quotient(_raised(top, abs(int(number))), _raised(bottom, abs(int(number))), base.exact)


def _function(name: str, argument: Quotient) -> Quotient:
    number = _number(argument)
    if name == "sqrt":
        if number is not None and number >= 0 and number.numerator * number.denominator <= MAX_ROOT:
            return _root(number)
    elif number == 0:
        if name in ("sin", "tan"):
            return Quotient({}, ONE)
        if name in ("cos", "exp"):
            return Quotient(ONE, ONE)
    elif number == 1 and name in ("ln", "log"):
        return Quotient({}, ONE)
    return _atom(f"{name}({_key(argument)})")


def _root(value: Fraction) -> Quotient:
    """sqrt(a/b) = sqrt(ab)/b, as a whole number times square roots of primes."""
    rest, outside, primes = value.numerator * value.denominator, 1, []
    if not rest:
        return Quotient({}, ONE)
    divisor = 2
    while divisor * divisor <= rest:
        while rest % (divisor * divisor) == 0:
            rest //= divisor * divisor
            outside *= divisor
        if rest % divisor == 0:
            rest //= divisor
            primes.append(divisor)
        divisor += 1
    primes += [rest] if rest > 1 else []
    monomial = tuple(sorted((f"{ROOT}{prime}", 1) for prime in primes))
    return Quotient({monomial: Fraction(outside, value.denominator)}, ONE)


def _atom(name: str) -> Quotient:
    if len(name) > 400:
        raise Beyond
    return Quotient({((name, 1),): Fraction(1)}, ONE, exact=False)


def _key(value: Quotient) -> str:
    """A text that is the same only for the same value."""
    lead = value.bottom[max(value.bottom)]
    parts = ({m: c / lead for m, c in part.items()} for part in (value.top, value.bottom))
    return "/".join(str([(m, str(part[m])) for m in sorted(part)]) for part in parts)


def _number(value: Quotient) -> Fraction | None:
    if not value.top:
        return Fraction(0)
    if set(value.top) == set(value.bottom) == {()}:
        return value.top[()] / value.bottom[()]
    return None


def add(one: Polynomial, other: Polynomial) -> Polynomial:
    """The sum."""
    result = dict(one)
    for monomial, value in other.items():
        total = result.get(monomial, Fraction(0)) + value
        if total:
            result[monomial] = total
        else:
            result.pop(monomial, None)
    return result


def subtract(one: Polynomial, other: Polynomial) -> Polynomial:
    """The difference."""
    return add(one, {monomial: -value for monomial, value in other.items()})


def multiply(one: Polynomial, other: Polynomial) -> Polynomial:
    """The product. Raises Beyond for too many terms or digits."""
    if one is ONE:
        return other
    if other is ONE:
        return one
    if len(one) * len(other) > MAX_TERMS * MAX_TERMS:
        raise Beyond
    result: Polynomial = {}
    for p, a in one.items():
        for q, b in other.items():
            monomial, factor = _joined(p, q)
            total = result.get(monomial, Fraction(0)) + a * b * factor
            if total:
                result[monomial] = total
            else:
                result.pop(monomial, None)
    if len(result) > MAX_TERMS:
        raise Beyond
    if any(c.numerator.bit_length() + c.denominator.bit_length() > MAX_BITS for c in result.values()):
        raise TooLarge(f"a coefficient of more than {MAX_BITS} bits")
    return result


def _joined(one: Monomial, other: Monomial) -> tuple[Monomial, int]:
    """The product of two monomials; two equal square roots become a factor."""
    if not one or not other:
        return one or other, 1
    powers, factor = dict(one), 1
    for name, power in other:
        powers[name] = powers.get(name, 0) + power
        if name[0] == ROOT and powers[name] > 1:
            factor *= int(name[1:])
            del powers[name]
        elif powers[name] > 2 * MAX_EXPONENT:
            raise Beyond
    return tuple(sorted(powers.items())), factor


def _raised(base: Polynomial, exponent: int) -> Polynomial:
    result = ONE
    while exponent:
        if exponent % 2:
            result = multiply(result, base)
        exponent //= 2
        base = multiply(base, base) if exponent else base
    return result


def value(tree: Tree, at: dict[str, complex]) -> complex:
    """The tree's value in floating point. Raises ArithmeticError or ValueError where there is none."""
    return _value(tree, at)[0]


def differ(one: Tree, other: Tree) -> bool:
    """Whether two trees have clearly different values at each of a few points; False where that cannot be told."""
    found = False
    for point in (1, 2, 3):
        at = _Point(point)
        try:
            (a, rough_a), (b, rough_b) = _value(one, at), _value(other, at)
        except (ArithmeticError, ValueError):
            continue
        size = max(abs(a), abs(b))
        if not math.isfinite(size) or max(rough_a, rough_b) > 1e6 * max(size, 1e-3):
            continue
        if abs(a - b) <= 1e-6 * max(size, 1e-6):
            return False
        found = True
    return found


class _Point(dict[str, complex]):
    """A value between 1/2 and 2 for every name."""

    def __init__(self, number: int) -> None:
        super().__init__(pi=math.pi)
        self.number = number

    def __missing__(self, name: str) -> complex:
        code = sum(map(ord, name)) * 37 + self.number * 101
        return 0.5 + (code * 7919 % 1009) / 673


_FUNCTIONS = {"sqrt": cmath.sqrt, "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "ln": cmath.log, "log": cmath.log, "exp": cmath.exp}  # fmt: skip


def _value(tree: Tree, at: dict[str, complex]) -> tuple[complex, float]:
    """The value, and the largest magnitude met on the way (which bounds what rounding did)."""
    head = tree[0]
    if head == "n":
        return float(tree[1]), abs(float(tree[1]))
    if head == "v":
        return at[tree[1]], abs(at[tree[1]])
    if head == "f":
        inner, rough = _value(tree[2], at)
        if tree[1] == "exp" and abs(inner) > 300:
            raise OverflowError
        result = complex(_FUNCTIONS[tree[1]](inner))
        return result, max(rough, abs(result))
    left, rough = _value(tree[1], at)
    if head == "neg":
        return -left, rough
    right, other = _value(tree[2], at)
    rough = max(rough, other)
    if head == "^":
        if tree[1] == ("v", "e"):
            left = math.e
        if abs(right) > MAX_EXPONENT:
            raise OverflowError
        result = complex(left**right)
    else:
        result = complex(
            {"+": left + right, "-": left - right, "*": left * right}[head] if head != "/" else left / right
        )
    return result, max(rough, abs(result))

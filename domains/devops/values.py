"""How values are written in questions, steps and answers, and when a number is exact enough to be claimed.

>>> show(Fraction("43.2")), show(Fraction(1, 3), 2), show([Fraction(3), Fraction(5)], "+")
('43.2', '0.33', '3 + 5')
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from domains.devops.expressions import rounded

MAX_DECIMALS = 6
"""Of a number that is not rounded."""


class Rejected(ValueError):
    """These slot values make no good problem (a constraint, a value that would have to be rounded): draw others."""


def show(value: Any, style: int | str | None = None) -> str:
    """A value as text. `style`: decimals for a number (trailing zeros kept), or what joins the items of a list."""
    if isinstance(value, list):
        joint = f" {style} " if isinstance(style, str) and style else ", "
        return joint.join(show(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | Fraction):
        return str(value)
    exact = value if isinstance(value, Fraction) else Fraction(value)
    if isinstance(style, int):
        return _fixed(rounded(exact, style), style)
    digits = decimals(exact)
    if digits is None:
        raise Rejected(f"{str(exact)[:40]} needs more than {MAX_DECIMALS} decimals: state how it is rounded")
    return _fixed(exact, digits)


def decimals(value: Fraction) -> int | None:
    """How many decimals write `value` exactly; None where MAX_DECIMALS do not."""
    return next((digits for digits in range(MAX_DECIMALS + 1) if 10**digits % value.denominator == 0), None)


def _fixed(value: Fraction, digits: int) -> str:
    text = str(abs(value.numerator) * 10**digits // value.denominator).zfill(digits + 1)
    sign = "-" if value < 0 else ""
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def is_tie(value: Fraction, digits: int) -> bool:
    """Does rounding `value` to `digits` depend on the rule for a final 5?"""
    return (value * 10**digits).denominator == 2

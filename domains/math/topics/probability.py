"""Basic probability: one draw, independent events, draws without replacement, coins."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

from domains.math.problems import Problem

COLOURS = ("red", "blue", "green", "yellow", "white", "black")


def probability(level: str, rng: random.Random) -> Problem:
    """easy: one draw; medium: its complement, two dice, draws with replacement; hard: without replacement, at least one, k of n coins."""
    forms = {"easy": (_draw,), "medium": (_not, _dice, _replaced), "hard": (_same, _at_least, _coins)}
    return rng.choice(forms[level])(rng)


def _reduced(top: int, bottom: int) -> str:
    value = Fraction(top, bottom)
    return f"{top}/{bottom}" + (f" = {value}" if str(value) != f"{top}/{bottom}" else "")


def _bag(rng: random.Random, low: int = 1, high: int = 12) -> tuple[dict[str, object], int, int, int]:
    a, b, c = (rng.randint(low, high) for _ in range(3))
    one, two, three = rng.sample(COLOURS, 3)
    return {"a": a, "b": b, "c": c, "one": one, "two": two, "three": three}, a, b, c


def _draw(rng: random.Random) -> Problem:
    slots, a, b, c = _bag(rng)
    n = a + b + c
    return Problem(
        "one_draw",
        slots,
        (f"{a} + {b} + {c} = {n}", f"P = {a} / ({a} + {b} + {c}) = {Fraction(a, n)}"),
        str(Fraction(a, n)),
    )


def _not(rng: random.Random) -> Problem:
    slots, a, b, c = _bag(rng)
    n = a + b + c
    steps = (f"{a} + {b} + {c} = {n}", f"1 - {a}/{n} = {_reduced(n - a, n)}")
    return Problem("not_drawn", slots, steps, str(1 - Fraction(a, n)))


def _dice(rng: random.Random) -> Problem:
    """The sum of two dice with m and n sides."""
    m, n = rng.randint(4, 12), rng.randint(4, 12)
    s = rng.randint(3, m + n - 1)
    ways = sum(1 for i in range(1, m + 1) if 1 <= s - i <= n)
    low, high = max(1, s - n), min(m, s - 1)
    steps = (
        f"{high} - {low} + 1 = {ways}",
        f"{m} * {n} = {m * n}",
        f"P = {ways} / ({m} * {n}) = {Fraction(ways, m * n)}",
    )
    return Problem("dice_sum", {"m": m, "n": n, "s": s}, steps, str(Fraction(ways, m * n)))


def _replaced(rng: random.Random) -> Problem:
    """One colour, then another, with replacement."""
    slots, a, b, c = _bag(rng, 1, 9)
    n = a + b + c
    steps = (f"{a} + {b} + {c} = {n}", f"P = {a}/{n} * {b}/{n} = {_reduced(a * b, n * n)}")
    return Problem("two_replaced", slots, steps, str(Fraction(a * b, n * n)))


def _same(rng: random.Random) -> Problem:
    """Two of one colour, without replacement."""
    a, b = rng.randint(2, 12), rng.randint(1, 12)
    one, two = rng.sample(COLOURS, 2)
    n = a + b
    steps = (f"{a} + {b} = {n}", f"P = {a}/{n} * {a - 1}/{n - 1} = {_reduced(a * (a - 1), n * (n - 1))}")
    return Problem("two_kept", {"a": a, "b": b, "one": one, "two": two}, steps, str(Fraction(a * (a - 1), n * (n - 1))))


def _at_least(rng: random.Random) -> Problem:
    """At least one of the first colour in two draws without replacement."""
    a, b = rng.randint(1, 10), rng.randint(2, 12)
    one, two = rng.sample(COLOURS, 2)
    n = a + b
    none = Fraction(b * (b - 1), n * (n - 1))
    steps = (f"{a} + {b} = {n}", f"{b}/{n} * {b - 1}/{n - 1} = {_reduced(b * (b - 1), n * (n - 1))}", f"P = 1 - {none} = {1 - none}")  # fmt: skip
    return Problem("at_least_one", {"a": a, "b": b, "one": one, "two": two}, steps, str(1 - none))


def _coins(rng: random.Random) -> Problem:
    """Exactly k heads in n tosses."""
    n = rng.randint(3, 9)
    k = rng.randint(1, n - 1)
    ways, small = comb(n, k), min(k, n - k)
    top = " * ".join(str(n - i) for i in range(small))
    bottom = " * ".join(str(i) for i in range(1, small + 1))
    steps = (f"{top} / ({bottom}) = {ways}", f"2^{n} = {2**n}", f"P = {ways} / 2^{n} = {Fraction(ways, 2**n)}")
    return Problem("coins", {"n": n, "k": k}, steps, str(Fraction(ways, 2**n)))

"""Mixtures: what is dissolved, two solutions together, how much of one to add, blends by price."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import Problem

STUFF = ("salt", "acid", "sugar", "alcohol", "antifreeze")
GOODS = ("coffee", "tea", "nuts", "rice", "seeds")


def mixtures(level: str, rng: random.Random) -> Problem:
    """easy: how much is dissolved; medium: the strength, or the price, of two parts mixed; hard: how much to add."""
    return rng.choice({"easy": (_dissolved,), "medium": (_mixed, _blend), "hard": (_to_add, _water)}[level])(rng)


def _dissolved(rng: random.Random) -> Problem:
    p, n = 5 * rng.randint(1, 16), 20 * rng.randint(1, 25)
    result = Fraction(p * n, 100)
    slots: dict[str, object] = {"p": p, "n": n, "stuff": rng.choice(STUFF)}
    return Problem("dissolved", slots, (f"{n} * {p} / 100 = {n * p} / 100 = {result}",), str(result))


def _mixed(rng: random.Random) -> Problem:
    while True:
        a, b = rng.randint(1, 20), rng.randint(1, 20)
        p, q = rng.sample(range(5, 100, 5), 2)
        if (a * p + b * q) % (a + b) == 0:
            break
    strength = (a * p + b * q) // (a + b)
    slots: dict[str, object] = {"a": a, "b": b, "p": p, "q": q, "stuff": rng.choice(STUFF)}
    steps = (f"{a} * {p} + {b} * {q} = {a * p + b * q}", f"{a} + {b} = {a + b}", f"{a * p + b * q} / {a + b} = {strength}")  # fmt: skip
    return Problem("mixed_strength", slots, steps, str(strength))


def _blend(rng: random.Random) -> Problem:
    while True:
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        p, q = rng.sample(range(2, 25), 2)
        if (a * p + b * q) % (a + b) == 0:
            break
    price = (a * p + b * q) // (a + b)
    slots: dict[str, object] = {"a": a, "b": b, "p": p, "q": q, "stuff": rng.choice(GOODS)}
    steps = (f"{a} * {p} = {a * p}, {b} * {q} = {b * q}", f"{a * p} + {b * q} = {a * p + b * q}", f"{a * p + b * q} / ({a} + {b}) = {price}")  # fmt: skip
    return Problem("blend_price", slots, steps, str(price))


def _to_add(rng: random.Random) -> Problem:
    """How many litres of q% to a litres of p% make r%?  a p + x q = (a + x) r."""
    while True:
        a, (p, r, q) = rng.randint(2, 40), sorted(rng.sample(range(5, 100, 5), 3))
        if rng.random() < 0.5:
            p, q = q, p
        x = Fraction(a * (r - p), q - r)
        if x.denominator == 1 and 0 < x <= 60:
            break
    slots: dict[str, object] = {"a": a, "p": p, "q": q, "r": r, "stuff": rng.choice(STUFF)}
    steps = (
        f"{a} * {p} + {q}x = {r}({a} + x)",
        f"{a * p} + {q}x = {a * r} + {r}x",
        f"{q - r}x = {a * r} - {a * p} = {a * (r - p)}",
        f"x = {a * (r - p)} / {f'({q - r})' if q < r else q - r} = {x}",
    )
    return Problem("to_add", slots, tuple(step.replace(" 1x", " x") for step in steps), str(x))


def _water(rng: random.Random) -> Problem:
    """How much water thins a litres of p% to r%?"""
    while True:
        a, p, r = rng.randint(2, 60), 5 * rng.randint(2, 18), 5 * rng.randint(1, 16)
        if r < p and a * p % r == 0:
            break
    x = a * p // r - a
    slots: dict[str, object] = {"a": a, "p": p, "r": r, "stuff": rng.choice(STUFF)}
    steps = (f"{a} * {p} / {r} = {a * p // r}", f"{a * p // r} - {a} = {x}")
    return Problem("thinned", slots, steps, str(x))

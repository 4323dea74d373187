"""Percentages: parts, changes, prices before a change, several changes one after the other."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import NAMES, Problem

THINGS = ("jacket", "lamp", "bicycle", "phone", "chair", "printer", "tent", "camera")


def percentages(level: str, rng: random.Random) -> Problem:
    """easy: p% of n; medium: a price up or down, the change in percent; hard: the price before, two changes, interest."""
    return rng.choice({"easy": (_part, _share), "medium": (_changed, _change), "hard": (_before, _twice, _interest)}[level])(rng)  # fmt: skip


def decimal(value: Fraction) -> str:
    """A value with a finite decimal expansion, as money is written: `12`, `12.5`, `0.125`."""
    sign, value = ("-" if value < 0 else ""), abs(value)
    digits = 0
    while (value * 10**digits).denominator > 1:
        digits += 1
    text = str(int(value * 10**digits)).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def _part(rng: random.Random) -> Problem:
    p, n = 5 * rng.randint(1, 19), 20 * rng.randint(1, 40)
    result = Fraction(p * n, 100)
    return Problem("percent_of", {"p": p, "n": n}, (f"{p}% of {n} is {p} * {n} / 100 = {p * n} / 100 = {result}",), str(result))  # fmt: skip


def _share(rng: random.Random) -> Problem:
    """What percent of n is a?"""
    n = rng.choice((20, 25, 40, 50, 80, 120, 150, 200, 250, 300, 400, 500))
    p = rng.choice([p for p in range(5, 100, 5) if p * n % 100 == 0])
    a = p * n // 100
    return Problem("percent_share", {"a": a, "n": n}, (f"{a} / {n} * 100 = {100 * a} / {n} = {p}",), str(p))


def _changed(rng: random.Random) -> Problem:
    """A price after a discount or a rise."""
    p, n = 5 * rng.randint(1, 12), 20 * rng.randint(1, 30)
    up = rng.random() < 0.4
    by = Fraction(p * n, 100)
    result = n + by if up else n - by
    kind = "percent_rise" if up else "percent_discount"
    slots: dict[str, object] = {"p": p, "n": n, "thing": rng.choice(THINGS)}
    return Problem(kind, slots, (f"{p}% of {n} is {by}", f"{n} {'+' if up else '-'} {by} = {result}"), str(result))


def _change(rng: random.Random) -> Problem:
    """From a to b: by how many percent?"""
    a = rng.choice((20, 25, 40, 50, 60, 80, 100, 120, 150, 160, 200, 250, 300, 400))
    p = rng.choice([p for p in range(-60, 101, 5) if p and p * a % 100 == 0])
    b = a + a * p // 100
    d = abs(b - a)
    slots: dict[str, object] = {"a": a, "b": b, "thing": rng.choice(THINGS), "way": "rises" if p > 0 else "falls", "noun": "increase" if p > 0 else "decrease"}  # fmt: skip
    steps = (f"{max(a, b)} - {min(a, b)} = {d}", f"{d} / {a} * 100 = {abs(p)}")
    return Problem("percent_change", slots, steps, str(abs(p)))


def _before(rng: random.Random) -> Problem:
    """The price before a discount."""
    p, n = 5 * rng.randint(1, 15), 20 * rng.randint(1, 30)
    paid = Fraction((100 - p) * n, 100)
    slots: dict[str, object] = {"p": p, "paid": paid, "thing": rng.choice(THINGS)}
    steps = (f"100 - {p} = {100 - p}", f"{paid} / {100 - p} * 100 = {n}")
    return Problem("percent_before", slots, steps, str(n))


def _twice(rng: random.Random) -> Problem:
    """Up by p%, then down by q%."""
    p, q, n = 10 * rng.randint(1, 6), 10 * rng.randint(1, 6), 100 * rng.randint(1, 20)
    first = Fraction((100 + p) * n, 100)
    last = first * (100 - q) / 100
    slots: dict[str, object] = {"p": p, "q": q, "n": n, "thing": rng.choice(THINGS)}
    steps = (
        f"{n} * (100 + {p}) / 100 = {n} * {100 + p} / 100 = {first}",
        f"{first} * (100 - {q}) / 100 = {first} * {100 - q} / 100 = {last}",
    )
    return Problem("percent_twice", slots, steps, str(last))


def _interest(rng: random.Random) -> Problem:
    """Compound interest over two or three years."""
    p, t, n = rng.choice((5, 10, 20)), rng.choice((2, 2, 3)), 1000 * rng.randint(1, 20)
    steps, amount = [], Fraction(n)
    for _ in range(t):
        new = amount * (100 + p) / 100
        steps.append(f"{decimal(amount)} * {decimal(Fraction(100 + p, 100))} = {decimal(new)}")
        amount = new
    slots: dict[str, object] = {"p": p, "t": t, "n": n, "name": rng.choice(NAMES)}
    return Problem("compound_interest", slots, tuple(steps), decimal(amount))

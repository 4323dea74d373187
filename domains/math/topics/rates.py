"""Rates: speed, price per piece, two legs of a way, meeting, working together."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import NAMES, Problem


def rates(level: str, rng: random.Random) -> Problem:
    """easy: speed or time; medium: scaling, average speed; hard: meeting, catching up, working together."""
    return rng.choice({"easy": (_time, _speed), "medium": (_scale, _average), "hard": (_meet, _catch, _together)}[level])(rng)  # fmt: skip


def _time(rng: random.Random) -> Problem:
    r, t = rng.choice((*range(4, 20), *range(20, 125, 5))), rng.randint(2, 12)
    return Problem("time_needed", {"r": r, "s": r * t, "name": rng.choice(NAMES)}, (f"{r * t} / {r} = {t}",), str(t))


def _speed(rng: random.Random) -> Problem:
    r, t = rng.choice((*range(4, 20), *range(20, 125, 5))), rng.randint(2, 12)
    return Problem("average_rate", {"t": t, "s": r * t, "name": rng.choice(NAMES)}, (f"{r * t} / {t} = {r}",), str(r))


def _scale(rng: random.Random) -> Problem:
    """a pieces cost p: what do b cost?"""
    a, b = rng.sample(range(2, 16), 2)
    each = rng.randint(2, 15)
    slots: dict[str, object] = {"a": a, "b": b, "p": a * each, "item": rng.choice(("notebooks", "tiles", "bolts", "cans", "brushes", "bulbs"))}  # fmt: skip
    return Problem("scaling", slots, (f"{a * each} / {a} = {each}", f"{each} * {b} = {each * b}"), str(each * b))


def _average(rng: random.Random) -> Problem:
    """Two legs of a way with their own speeds: the average speed of the whole."""
    while True:
        a, b = rng.randint(2, 6), rng.randint(2, 6)
        r, q = rng.sample(range(10, 125, 5), 2)
        if (a * r + b * q) % (a + b) == 0:
            break
    way = a * r + b * q
    slots: dict[str, object] = {"a": a, "b": b, "r": r, "q": q, "name": rng.choice(NAMES)}
    steps = (f"{r} * {a} = {r * a}, {q} * {b} = {q * b}", f"{r * a} + {q * b} = {way}, {a} + {b} = {a + b}", f"{way} / {a + b} = {way // (a + b)}")  # fmt: skip
    return Problem("average_speed", slots, steps, str(way // (a + b)))


def _meet(rng: random.Random) -> Problem:
    """Towards each other."""
    r, q = rng.sample(range(10, 125, 5), 2)
    t = Fraction(rng.randint(2, 12), rng.choice((1, 1, 2)))
    if ((r + q) * t).denominator > 1:
        t = Fraction(int(t) + 1)
    way = int((r + q) * t)
    steps = (f"{r} + {q} = {r + q}", f"{way} / {r + q} = {t}")
    return Problem("meeting", {"r": r, "q": q, "s": way}, steps, str(t))


def _catch(rng: random.Random) -> Problem:
    """A head start of h hours."""
    while True:
        r, q = sorted(rng.sample(range(10, 125, 5), 2))
        h = rng.randint(2, 6)
        if (r * h) % (q - r) == 0:
            break
    t = r * h // (q - r)
    steps = (f"{r} * {h} = {r * h}", f"{q} - {r} = {q - r}", f"{r * h} / {q - r} = {t}")
    return Problem("catching_up", {"r": r, "q": q, "h": h}, steps, str(t))


def _together(rng: random.Random) -> Problem:
    """One fills in a hours, the other in b hours."""
    a, b = rng.sample(range(2, 21), 2)
    both = Fraction(1, a) + Fraction(1, b)
    t = 1 / both
    steps = (f"1/{a} + 1/{b} = {both}", f"1 / ({both}) = {t}")
    return Problem("working_together", {"a": a, "b": b, "name": rng.choice(NAMES)}, steps, str(t))

"""One generator per kind of problem: numbers in, slots for a wording, steps and answer out. Answers are verified with SymPy.

>>> problem = KINDS["linear"](random.Random(0))
>>> problem.slots["eq"], problem.steps[-1], problem.answer     # '2x + 9 = 23', 'x = 14 / 2 = 7', 'x = 7'
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd

NAMES = (
    "Ann",
    "Ben",
    "Carla",
    "Dev",
    "Elif",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kavya",
    "Liam",
    "Mina",
    "Noor",
    "Omar",
    "Priya",
)
GOODS = ("pens", "books", "apples", "caps", "cups", "stamps", "candles", "mugs", "plants", "tickets")
SWEETS = ("cookies", "marbles", "stickers", "shells", "cards", "plums", "buttons", "coins", "pears", "beads")
VARIABLES = ("x", "x", "x", "y", "n", "t", "a", "m")


@dataclass(frozen=True)
class Problem:
    """A problem before it has a wording."""

    kind: str
    slots: dict[str, object]
    """What a wording's braces are filled with."""
    steps: tuple[str, ...]
    answer: str

    @property
    def key(self) -> str:
        """What makes it this problem, whatever its wording: kind, steps and answer, with the unknowns' names taken away."""
        return f"{self.kind}: {re.sub('[a-z]', '?', ' '.join((*self.steps, self.answer)))}"


def term(coefficient: int, power: int, variable: str = "x") -> str:
    """`term(-1, 2)` → `-x^2`, `term(5, 0)` → `5`."""
    if power == 0:
        return str(coefficient)
    body = variable if power == 1 else f"{variable}^{power}"
    return {1: body, -1: f"-{body}"}.get(coefficient, f"{coefficient}{body}")


def polynomial(coefficients: dict[int, int], variable: str = "x") -> str:
    """`{2: 1, 1: -5, 0: 6}` → `x^2 - 5x + 6`, highest power first."""
    text = ""
    for power in sorted(coefficients, reverse=True):
        value = coefficients[power]
        if value == 0:
            continue
        if not text:
            text = term(value, power, variable)
        else:
            text += (" - " if value < 0 else " + ") + term(abs(value), power, variable)
    return text or "0"


def linear(rng: random.Random) -> Problem:
    """ax + b = c with a small natural solution."""
    v, a, x, b = (
        rng.choice(VARIABLES),
        rng.randint(2, 7),
        rng.randint(1, 10),
        rng.choice([n for n in range(-9, 10) if n]),
    )
    c = a * x + b
    equation = f"{polynomial({1: a, 0: b}, v)} = {c}"
    undo = f"{c} - {b}" if b > 0 else f"{c} + {-b}"
    return Problem(
        "linear", {"v": v, "eq": equation}, (f"{a}{v} = {undo} = {c - b}", f"{v} = {c - b} / {a} = {x}"), f"{v} = {x}"
    )


def quadratic(rng: random.Random) -> Problem:
    """x^2 + bx + c = 0 with two different integer roots."""
    v = rng.choice(VARIABLES)
    p, q = sorted(rng.sample([n for n in range(-6, 7) if n], 2))
    equation = f"{polynomial({2: 1, 1: -(p + q), 0: p * q}, v)} = 0"
    steps = (
        f"{p} * {q} = {p * q}, {p} + {q} = {p + q}",
        f"({polynomial({1: 1, 0: -p}, v)})({polynomial({1: 1, 0: -q}, v)}) = 0",
    )
    return Problem("quadratic", {"v": v, "eq": equation}, steps, f"{v} = {p} or {v} = {q}")


def system(rng: random.Random) -> Problem:
    """x + y = s, x - y = d."""
    v, w = rng.choice((("x", "y"), ("x", "y"), ("a", "b"), ("m", "n")))
    y, d = rng.randint(1, 10), rng.randint(1, 9)
    x, s = y + d, 2 * y + d
    slots: dict[str, object] = {"v": v, "w": w, "eq1": f"{v} + {w} = {s}", "eq2": f"{v} - {w} = {d}"}
    return Problem(
        "system",
        slots,
        (f"2{v} = {s} + {d} = {2 * x}", f"{v} = {2 * x} / 2 = {x}", f"{w} = {s} - {x} = {y}"),
        f"{v} = {x}, {w} = {y}",
    )


def derivative(rng: random.Random) -> Problem:
    """Of a polynomial with two or three terms: d/dx c x^n = c n x^(n-1)."""
    v = rng.choice(("x", "x", "x", "t"))
    powers = sorted(rng.sample(range(0, 5), rng.randint(2, 3)), reverse=True)
    function = {power: rng.randint(1, 6) * rng.choice((1, 1, -1)) for power in powers}
    result = {power - 1: value * power for power, value in function.items() if power}
    steps = tuple(_derivative_of_term(value, power, v) for power, value in function.items())
    return Problem("derivative", {"v": v, "f": polynomial(function, v)}, steps, polynomial(result, v))


def _derivative_of_term(value: int, power: int, v: str) -> str:
    if power < 2:
        return f"{term(value, power, v)} -> {value if power else 0}"
    return f"{term(value, power, v)} -> {power} * {value} = {value * power} -> {term(value * power, power - 1, v)}"


def integral(rng: random.Random) -> Problem:
    """Of a polynomial whose antiderivative has integer coefficients."""
    v = rng.choice(("x", "x", "x", "t"))
    result = {
        power + 1: rng.randint(1, 6) * rng.choice((1, 1, -1))
        for power in sorted(rng.sample(range(0, 4), 2), reverse=True)
    }
    function = {power - 1: value * power for power, value in result.items()}
    steps = tuple(_integral_of_term(value, power, v) for power, value in function.items())
    return Problem("integral", {"v": v, "f": polynomial(function, v)}, steps, f"{polynomial(result, v)} + C")


def _integral_of_term(value: int, power: int, v: str) -> str:
    if power == 0:
        return f"{value} -> {term(value, 1, v)}"
    return f"{term(value, power, v)} -> {value} / {power + 1} = {value // (power + 1)} -> {term(value // (power + 1), power + 1, v)}"


def percent(rng: random.Random) -> Problem:
    """p % of n, by way of 10 %."""
    tens, ten = rng.randint(1, 9), rng.randint(2, 30)
    p, n = 10 * tens, 10 * ten
    return Problem(
        "percent", {"p": p, "n": n}, (f"10% of {n} is {ten}", f"{tens} * {ten} = {tens * ten}"), str(tens * ten)
    )


def rate(rng: random.Random) -> Problem:
    """Amount = rate * time."""
    r, t = rng.choice((*range(3, 13), 15, *range(20, 100, 10))), rng.randint(2, 9)
    return Problem("rate", {"r": r, "t": t}, (f"{r} * {t} = {r * t}",), str(r * t))


def fraction(rng: random.Random) -> Problem:
    """a/b + c/d in lowest terms with coprime denominators: (ad + cb) / bd is then in lowest terms too."""
    while True:
        b, d = rng.randint(2, 7), rng.randint(2, 7)
        a, c = rng.randint(1, b - 1), rng.randint(1, d - 1)
        if gcd(b, d) == gcd(a, b) == gcd(c, d) == 1:
            break
    left, right, common = a * d, c * b, b * d
    answer = f"{left + right}/{common}"
    steps = (f"{b} * {d} = {common}", f"{a} * {d} = {left}, {c} * {b} = {right}", f"{left} + {right} = {left + right}")
    return Problem("fraction", {"a": a, "b": b, "c": c, "d": d}, steps, answer)


def shopping(rng: random.Random) -> Problem:
    """m - n * p."""
    n, p = rng.randint(2, 9), rng.randint(2, 9)
    m = next(note for note in (20, 50, 100) if note > n * p) if rng.random() < 0.6 else n * p + rng.randint(1, 30)
    slots: dict[str, object] = {"name": rng.choice(NAMES), "item": rng.choice(GOODS), "n": n, "p": p, "m": m}
    return Problem("shopping", slots, (f"{n} * {p} = {n * p}", f"{m} - {n * p} = {m - n * p}"), str(m - n * p))


def sharing(rng: random.Random) -> Problem:
    """(n - g) / k."""
    k, each, g = rng.randint(2, 9), rng.randint(2, 9), rng.randint(2, 9)
    n = k * each + g
    slots: dict[str, object] = {"name": rng.choice(NAMES), "item": rng.choice(SWEETS), "n": n, "g": g, "k": k}
    return Problem("sharing", slots, (f"{n} - {g} = {n - g}", f"{n - g} / {k} = {each}"), str(each))


KINDS: dict[str, Callable[[random.Random], Problem]] = {
    function.__name__: function
    for function in (linear, quadratic, system, derivative, integral, percent, rate, fraction, shopping, sharing)
}

"""Arithmetic and geometric sequences: a term far out, the sum of many, a sequence told by two of its terms."""

from __future__ import annotations

import random
from fractions import Fraction

from domains.math.problems import Problem
from domains.math.topics.common import bracket, plus


def sequences(level: str, rng: random.Random) -> Problem:
    """easy: the nth term of an arithmetic one; medium: its sum, terms of a geometric one; hard: geometric sums, two terms given."""
    forms = {"easy": (_term, _term_given), "medium": (_sum, _geometric), "hard": (_geometric_sum, _infinite, _two_terms)}  # fmt: skip
    return rng.choice(forms[level])(rng)


def _listed(values: list[int | Fraction]) -> str:
    return ", ".join(map(str, values))


def ordinal(n: int) -> str:
    """`1st`, `12th`, `33rd`."""
    return f"{n}{'th' if n // 10 % 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _arithmetic(rng: random.Random) -> tuple[int, int]:
    return rng.randint(-15, 30), rng.choice([n for n in range(-9, 13) if n])


def _term(rng: random.Random) -> Problem:
    (a, d), n = _arithmetic(rng), rng.randint(8, 60)
    slots: dict[str, object] = {"terms": _listed([a, a + d, a + 2 * d, a + 3 * d]), "n": n, "nth": ordinal(n)}
    steps = (f"d = {a + d} - {bracket(a)} = {d}", f"a_{n} = {a} + ({n} - 1) * {bracket(d)} = {a + (n - 1) * d}")
    return Problem("arithmetic_term", slots, steps, str(a + (n - 1) * d))


def _term_given(rng: random.Random) -> Problem:
    (a, d), n = _arithmetic(rng), rng.randint(8, 60)
    steps = (f"{n} - 1 = {n - 1}", f"a_{n} = {a} + {n - 1} * {bracket(d)} = {a + (n - 1) * d}")
    return Problem("arithmetic_term_given", {"a": a, "d": d, "n": n, "nth": ordinal(n)}, steps, str(a + (n - 1) * d))


def _sum(rng: random.Random) -> Problem:
    (a, d), n = _arithmetic(rng), rng.randint(8, 50)
    last = a + (n - 1) * d
    total = n * (a + last) // 2
    slots: dict[str, object] = {"terms": _listed([a, a + d, a + 2 * d, a + 3 * d]), "n": n, "nth": ordinal(n)}
    steps = (
        f"d = {a + d} - {bracket(a)} = {d}",
        f"a_{n} = {a} + ({n} - 1) * {bracket(d)} = {last}",
        f"S = {n} * ({a}{plus(last)}) / 2 = {n} * {bracket(a + last)} / 2 = {total}",
    )
    return Problem("arithmetic_sum", slots, steps, str(total))


def _geometric(rng: random.Random) -> Problem:
    a, r, n = rng.choice([n for n in range(-6, 10) if n]), rng.choice((-3, -2, 2, 3, 4, 5)), rng.randint(5, 9)
    result = a * r ** (n - 1)
    slots: dict[str, object] = {"terms": _listed([a, a * r, a * r**2, a * r**3]), "n": n, "nth": ordinal(n)}
    steps = (f"r = {a * r} / {bracket(a)} = {r}", f"a_{n} = {a} * {bracket(r)}^{n - 1} = {a} * {bracket(r ** (n - 1))} = {result}")  # fmt: skip
    return Problem("geometric_term", slots, steps, str(result))


def _geometric_sum(rng: random.Random) -> Problem:
    a, r, n = rng.choice([n for n in range(-6, 10) if n]), rng.choice((-3, -2, 2, 3, 4)), rng.randint(5, 9)
    total = a * (r**n - 1) // (r - 1)
    slots: dict[str, object] = {"terms": _listed([a, a * r, a * r**2, a * r**3]), "n": n, "nth": ordinal(n)}
    steps = (
        f"r = {a * r} / {bracket(a)} = {r}",
        f"{bracket(r)}^{n} = {r**n}",
        f"S = {a} * ({r**n} - 1) / ({r} - 1) = {a * (r**n - 1)} / {bracket(r - 1)} = {total}",
    )
    return Problem("geometric_sum", slots, steps, str(total))


def _infinite(rng: random.Random) -> Problem:
    a, q = rng.randint(1, 30), Fraction(rng.choice((1, 1, 2, -1, 3)), rng.choice((2, 3, 4, 5, 7)))
    if abs(q) >= 1:
        q = 1 / q if abs(q) > 1 else Fraction(1, 2)
    total = a / (1 - q)
    slots: dict[str, object] = {"a": a, "r": str(q)}
    steps = (f"1 - {bracket(q)} = {1 - q}", f"S = {a} / {bracket(1 - q)} = {total}")
    return Problem("geometric_infinite", slots, steps, str(total))


def _two_terms(rng: random.Random) -> Problem:
    """Arithmetic, told by two of its terms."""
    a, d = _arithmetic(rng)
    i, j = sorted(rng.sample(range(2, 15), 2))
    n = rng.randint(16, 60)
    p, q = a + (i - 1) * d, a + (j - 1) * d
    slots: dict[str, object] = {
        "i": i,
        "ith": ordinal(i),
        "p": p,
        "j": j,
        "jth": ordinal(j),
        "q": q,
        "n": n,
        "nth": ordinal(n),
    }
    steps = (
        f"d = ({q} - {bracket(p)}) / ({j} - {i}) = {q - p} / {j - i} = {d}",
        f"a_{n} = {q} + ({n} - {j}) * {bracket(d)} = {q} + {n - j} * {bracket(d)} = {a + (n - 1) * d}",
    )
    return Problem("arithmetic_two_terms", slots, steps, str(a + (n - 1) * d))

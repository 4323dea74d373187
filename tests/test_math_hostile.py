"""Model output as an adversary writes it: a verdict within limits, no false pass, no process and no file; and what always holds."""

from __future__ import annotations

import subprocess
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.base import Example
from domains.math.expressions import TooLarge, Unparsable, parse, to_fraction
from domains.math.polynomials import same
from domains.math.regions import read_region
from domains.math.steps import MAX_LINES, examine, first_wrong

math = get("math")
REFERENCES = ("7/3", "x = 41 or x = 43", "12x^3 + 2x", "x < 41/7 or x >= 43", "[[41, 0], [7/3, 1]]", "41x^3/7 + C")
INJECTED = "__import__('os').system('touch pwned')"
HOSTILE = [
    INJECTED, f"exec({INJECTED!r})", "eval(compile('1','','eval'))", "open('pwned','w').write('7/3')", "().__class__.__mro__[1].__subclasses__()",
    "getattr(__builtins__,'ex'+'ec')('1')", "lambda x: x", "f'{open(\"pwned\", \"w\")}'", "Symbol('x').__class__", "sympify('7/3')", "S('7/3')", "x.subs(x, 1)",
    "Integer(7).__truediv__(3)", "globals()", "[x for x in range(10**9)]", "{{config}}", "$(touch pwned)", "`touch pwned`", "; touch pwned;", "\\write18{touch pwned}",
    "\\input{|touch pwned}", "\\def\\x{\\x\\x}\\x", "\\newcommand{\\a}{\\a\\a}\\a", "9**9**9**9", "9^9^9^9", "((((9^64)^64)^64)^64)", "2^(2^(2^(2^(2^9))))", "factorial(10**9)",
    "(10**9)!", "7!!!!!!!!", "binomial(10**9, 5*10**8)", "Sum(x, (x, 1, 10**9))", "\\sum_{i=1}^{10^9} i", "\\int_0^{10^9} e^{e^{x}} dx", "1e999999999999", "1E-999999999999",
    "0." + "0" * 500 + "1", "9" * 900, "1/" + "9" * 900, "(" * 450 + "7/3" + ")" * 450, "[" * 900, "{" * 900, "\\boxed{" * 120 + "7" + "}" * 120, "\\frac{" * 150,
    "\\frac{7}{" * 40 + "3" + "}" * 40, "\\sqrt{" * 100 + "7" + "}" * 100, "-" * 900 + "7", "x^" * 400 + "2", "sin(" * 200 + "x" + ")" * 200, "x = x", "7/3 = 7/3 = 8/3", "x = x = 41",
    "1 or 2 or 7/3 or 41 or 43", "x = 40 or x = 41 or x = 42 or x = 43", ", ".join(str(n) for n in range(60)), "x ∈ ℝ", "all real numbers", "7/3 or not", "not 7/3", "7/3, I think, or 8/3",
    "٧/٣", "７/３", "𝟕/𝟑", "7⁄3 8", "7\u200b/\u200b4", "7\u202e/3\u202c1", "\u20667/3\u2069", "x\u0338 = 41", "\x00\x00\x00", "7\x00/\x003\x00\x00 or 8", "\ufeff", "\ud7ff", "ⅶ/ⅲ", "½½½½",
    "∞ - ∞", "oo", "zoo", "nan", "0/0", "0^0/0", "1/0", "sqrt(-1)", "x < 41/7 < x", "x < x", "x > 43 > x < 41", "(-∞, ∞)", "(41, 7)", "[[41, 0], [7/3]]", "[[[[7/3]]]]",
    "\\begin{pmatrix}" + " & 1" * 300 + "\\end{pmatrix}", "\\begin{pmatrix} \\begin{pmatrix} 1 \\end{pmatrix} \\end{pmatrix}", "exp(exp(exp(exp(x))))", "(x+y+z+w)^40", "x^x^x^x^x", "<script>alert(7/3)</script>",
]  # fmt: skip
LARGE = {
    "a megabyte of brackets": "(" * 1_000_000,
    "a megabyte of boxes": "\\boxed{" * 150_000,
    "ten thousand answers": "\n".join(f"Answer: {n}/3" for n in range(10_000)),
    "ten thousand answers in one line": "Answer: " + " or ".join(f"x = {n}" for n in range(10_000)),
    "a fake final answer first": "Final answer: 7/3\n" * 500 + "Answer: 8/3",
    "a fake final answer last but one": "The final answer is 7/3.\n\nActually no.\n\\boxed{8/3}",
    "the answer in a comment": "<!-- Answer: 7/3 --> \nAnswer: 8/3",
    "many equal signs": "1 = " * 4900 + "1",
    "many arrows": "x -> " * 3000,
    "many ors": "x = 1 or " * 2000,
    "many less-thans": "1 < " * 4500 + "2",
    "many commas": ", " * 9000,
    "digits": "7" * 19_000,
    "one long line of steps": "1 + 1 = 2, " * 1700,
    "many false steps": "1 + 1 = 3\n" * 1900,
    "many systems": "2x + 3y = 7\n" * 1500,
    "powers in steps": "(x+1)^60 = (x+1)^59 * (x+1)\n" * 500,
    "annotations": "<<1+1=2>>" * 2000,
    "calls": "f(f(f(f(x)))) = 2, " * 900,
    "integrals": "int " * 4000 + " dx = 2",
    "percent": "5% of " * 3000 + "2 is 3",
}


def example(reference: str, question: str = "") -> Example:
    messages = [{"role": "user", "content": question}] if question else []
    return {"id": "x", "messages": messages, "reference": reference, "meta": {}}


@pytest.fixture(autouse=True)
def nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """In an empty directory; the sandbox's own workers are the only processes."""
    monkeypatch.chdir(tmp_path)
    real, started = subprocess.Popen.__init__, []

    def spy(self: Any, args: Any, *rest: Any, **named: Any) -> None:
        started.append(args)
        real(self, args, *rest, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", spy)
    yield
    assert list(tmp_path.iterdir()) == []
    assert all("truemark.sandbox_worker" in command for command in started), started


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:24].encode("unicode_escape").decode())
def test_a_hostile_answer_gets_a_verdict_and_does_not_pass(text: str) -> None:
    began = time.process_time()
    for reference in REFERENCES:
        for prediction in (f"Answer: {text}", f"so\n\\boxed{{{text}}}", text):
            verdict = math.check(prediction, example(reference, f"Solve {text[:100]}"))
            assert not verdict.passed and verdict.reason in math.REASONS, (reference, prediction[:80], verdict)
    assert time.process_time() - began < 20


@pytest.mark.parametrize("name", LARGE)
def test_a_large_text_gets_a_verdict_soon(name: str) -> None:
    began = time.process_time()
    for reference in REFERENCES[:3]:
        verdict = math.check(LARGE[name], example(reference, "Solve 3x + 7 = 22"))
        assert not verdict.passed and verdict.reason in math.REASONS, verdict
    assert time.process_time() - began < 10


@pytest.mark.parametrize("question", [text[:380] for text in HOSTILE] + list(LARGE.values())[:4])
def test_a_hostile_question_is_not_solved_by_luck(question: str) -> None:
    solution = math.solve(question)
    assert solution is None or math.check(solution.text, example(solution.reference)).passed


@given(st.text(alphabet="0123456789xyab+-*/^()=<>.,;:orand\\{}[]|&% \n_√π∪≤'", max_size=160))
@settings(max_examples=300, deadline=None)
def test_steps_of_any_text_are_judged(text: str) -> None:
    for question in ("", "Solve 3x + 7 = 22", "Simplify 3(x + 2) + x.", "Solve x^2 < 4."):
        assert all(step.status in ("right", "wrong", "skipped") for step in examine(text, question))


@given(st.text(alphabet="0123456789x<>=≤≥∪()[],.or and-∞/", max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_region_is_read_or_refused(text: str) -> None:
    try:
        intervals = read_region(text).intervals
    except (Unparsable, TooLarge, ZeroDivisionError):
        return
    assert len(intervals) <= 25


def tree(depth: int) -> st.SearchStrategy[Any]:
    leaf = st.one_of(st.integers(0, 30).map(lambda n: ("n", str(n))), st.sampled_from([("v", "x"), ("v", "y")]))
    return st.recursive(leaf, lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner), max_leaves=depth)


@given(tree(6), tree(6))
@settings(max_examples=150, deadline=None)
def test_equality_is_decided_as_by_values(one: Any, other: Any) -> None:
    points = [(x, y) for x in (-3, 0, 2, 5, 7, 11, 13) for y in (-2, 1, 4, 17, 19, 23, 29)]
    equal = all(_at(one, *point) == _at(other, *point) for point in points)
    assert same(one, other) is equal
    assert same(("+", one, other), ("+", other, one)) is True


def _at(tree: Any, x: int, y: int) -> int:
    head, *parts = tree
    if head == "n":
        return int(parts[0])
    if head == "v":
        return {"x": x, "y": y}[parts[0]]
    a, b = (_at(part, x, y) for part in parts)
    return {"+": a + b, "-": a - b, "*": a * b}[head]


@st.composite
def derivation(draw: Any) -> tuple[str, list[str]]:
    """A linear equation and a correct way to its solution by random steps."""
    a, b = draw(st.integers(2, 12)), draw(st.integers(-20, 20))
    c, d = draw(st.integers(-9, 9).filter(lambda c: c != a)), draw(st.integers(-30, 30))

    def line(p: Fraction, q: Fraction, r: Fraction, s: Fraction) -> str:
        return f"({p})x + ({q}) = ({r})x + ({s})"

    state = tuple(map(Fraction, (a, b, c, d)))
    lines = []
    for _ in range(draw(st.integers(1, 5))):
        p, q, r, s = state
        k = Fraction(draw(st.integers(-5, 5).filter(bool)), draw(st.integers(1, 4)))
        state = draw(st.sampled_from([(p + k, q, r + k, s), (p, q + k, r, s + k), (p * k, q * k, r * k, s * k)]))
        lines.append(line(*state))
    x = Fraction(d - b, a - c)
    return f"Solve for x: {a}x + {b} = {c}x + {d}".replace("+ -", "- "), [*lines, f"x = {x}", f"Answer: x = {x}"]


@given(derivation())
@settings(max_examples=150, deadline=None)
def test_a_correct_derivation_is_never_accused(made: tuple[str, list[str]]) -> None:
    question, lines = made
    steps = examine("\n".join(lines), question)
    assert [step.status for step in steps] == ["right"] * len(lines), steps


@given(derivation(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_number_is_always_found(made: tuple[str, list[str]], data: Any) -> None:
    question, lines = made
    number = data.draw(st.integers(0, len(lines) - 3)) if len(lines) > 2 else 0
    head, _, tail = lines[number].rpartition("(")
    value = Fraction(tail.rstrip(")")) + data.draw(st.integers(1, 9))
    lines[number] = f"{head}({value})"
    step = first_wrong("\n".join(lines), question)
    assert step is not None and step.number == number + 1


@given(st.integers(2, 10**6), st.integers(2, 10**6), st.integers(1, 10**5))
@settings(max_examples=100, deadline=None)
def test_sums_and_products_in_sentences(a: int, b: int, off: int) -> None:
    assert first_wrong(f"They have {a} + {b} = {a + b} apples, and {a}*{b} = ${a * b} is paid.") is None
    assert first_wrong(f"They have {a} + {b} = {a + b + off} apples.") is not None
    assert first_wrong(f"It costs {a} x {b} = <<{a}*{b}={a * b + off}>>{a * b} dollars.") is not None


@given(st.fractions(-1000, 1000, max_denominator=50), st.fractions(-1000, 1000, max_denominator=50))
@settings(max_examples=100, deadline=None)
def test_fractions_survive_writing(a: Fraction, b: Fraction) -> None:
    assert to_fraction(parse(f"({a}) * ({b}) - ({a})/(7)")) == a * b - a / 7


def test_no_more_lines_are_read_than_are_allowed() -> None:
    text = "\n".join(["hello"] * (MAX_LINES + 5) + ["1 + 1 = 3"])
    assert first_wrong(text) is None and len(examine(text)) == MAX_LINES


@pytest.mark.parametrize("text", ["(x+y+z+w)^40", "((x+y)^9*(z+w)^9)^3", "(x+1)^65", "((9^64)^64)*x^70"])
def test_what_multiplying_out_would_blow_up_is_refused_unread(text: str) -> None:
    with pytest.raises(TooLarge):
        parse(text)

"""Hostile answers to the ASP check: a verdict within the limits, never a false pass, no file and no process made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.asp.problems import problems
from domains.base import Example
from truemark import sandbox

asp = get("asp")
check_module = sys.modules["domains.asp.check"]
PROBLEM = next(problem for problem in problems() if problem.id == "cover-guards")
RIGHT = PROBLEM.program
SHOWN = PROBLEM.instances[0]


def whole() -> Example:
    return {
        "id": "whole", "messages": [], "reference": RIGHT, "meta": {"instances": PROBLEM.facts, "show": PROBLEM.show},
    }  # fmt: skip


def one_rule() -> Example:
    first, second = PROBLEM.rules
    meta = {"instances": PROBLEM.facts, "show": PROBLEM.show, "given": first.rule}
    return {"id": "rule", "messages": [], "reference": second.rule, "meta": meta}


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs that only the processor's limit ends are to end soon."""
    monkeypatch.setattr(check_module, "LIMITS", sandbox.Limits(cpu_seconds=0.4, wall_seconds=30, memory_mib=768))


CODE = [
    "#script(python) import os; os.system('touch pwned') #end.", "#script (lua) os.execute('touch pwned') #end.",
    "#script(python)\ndef main(prg): open('pwned','w')\n#end.\n" + RIGHT, RIGHT + "\n#script(python) #end.", "#script(python)", "#script", "#end.",
    "p(@system(touch_pwned)).", "guard(@f(N)) :- node(N).", ":- @open(\"pwned\") = 1.", RIGHT + " p(@exit()).", "p(\"@f()\"). #script(x) #end.",
    '#include "/etc/passwd".', '#include "/dev/zero".', '#include "/dev/stdin".', "#include <incmode>.", RIGHT + '\n#include "pwned".', '% #include "x"\n' + RIGHT,
    '%* #include "/etc/passwd". *%', 'p("#include").', "#inc\u200blude \"/etc/passwd\".",
    "#external guard(N) : node(N). [true]", "#external free(1..9).", RIGHT + " #external x.", "#program step(t). guard(t).", "#program base(t).", RIGHT + " #program hidden.",
    "#theory t { term { + : 1, binary, left }; &x/0 : term, any }. &x { 1 }.", "&sum { guard(N) : node(N) } <= 2.", "a :- &diff { a - b } <= 3.", "&show { guard/1 }.",
    "$(touch pwned)", "`touch pwned`", "__import__('os').system('touch pwned')", "../../etc/passwd", "{{7*7}}{% x %}", "<script>alert(1)</script>",
]  # fmt: skip
BOMBS = [
    "p(1..1000000000).", "p(X+1) :- p(X). p(0).", "p(f(X)) :- p(X). p(0).", "p(X*X) :- p(X). p(2).", "p(X,Y,Z) :- X = 1..9999, Y = 1..9999, Z = 1..9999.",
    "q(1..3000). r :- q(X), q(Y), q(Z), X+Y+Z < 0.", ":- X = 1..100000, Y = 1..100000, X*Y = 0-1.", "a(X) :- X = #sum { Y,Z : Y = 1..9999, Z = 1..9999 }.",
    "1 { h(P,H) : H = 1..12 } 1 :- P = 1..13. :- h(P,H), h(Q,H), P < Q.", "{ a(1..300) }. :- #sum { X*X : a(X) } != 3000001, a(1). :- not a(1), not a(2). #minimize { X*7919 \\ 1009,X : a(X); (0-X)*31 \\ 17,X,b : not a(X) }.",
    "{ guard(N) : node(N) } . { b(1..60) }.", "#minimize { X*Y,X,Y : c(X), c(Y) }. { c(1..40) }. :- #sum { X : c(X) } != 411.", "p(" + "1;" * 6000 + "1).", "p(1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2,1..2).",
    "x(0). x(2147483647). x(X+Y) :- x(X), x(Y).", "p(2**2**2**2**2**31).", "p(9**99999999).", "p(1/0). guard(1/0).", "p(-2147483648 / -1).",
]  # fmt: skip
SHAPES = [
    "(" * 1_000_000, "[" * 100_000, "{" * 50_000, "p(" + "(" * 5000 + "1" + ")" * 5000 + ").", "p(" + "f(" * 190 + "1" + ")" * 190 + ").", "p(" + "-" * 15_000 + "1).", "p(" + "~" * 15_000 + "1).",
    "p(1" + "+1" * 9000 + ").", "p(1" + "**1" * 6000 + ").", "p :- " + "not " * 4000 + "q.", "p :- " + ", ".join(["q"] * 5000) + ".", ";".join(f"a{n}" for n in range(3000)) + ".", "p(|" * 50 + "1" + "|)" * 50 + ".",
    "%" * 60_000, "%*" * 10_000, "%* never closed", RIGHT + " %*", "\"" * 5001 + ".", "p(\"" + "x" * 15_000 + "\").", "a" * 19_000 + ".", "a.\n" * 6000, "a. " * 30_000,
    "\n" * 59_999 + "x", " " * 60_000, "```" * 9000, "```asp\n" * 2000, "</think>" * 5000, "word word word\n" * 3900,
    "\x00", "guard(1).\x00" + RIGHT, "\x00".join(RIGHT), RIGHT.replace("guard", "gu\u200bard"), "\u202e" + RIGHT[::-1], "\u2066" + RIGHT, "\ufeffguard(N) :- node(N).", RIGHT.replace(":", "："), RIGHT.replace("guard", "ｇuard"),
    "\ud800", "guard(1).\r" + RIGHT, "\x1b[2J" + RIGHT, "\ue000.", "ǅ(1).", "p(\"\ud7ff\U0010ffff\").",
]  # fmt: skip
TRICKS = [
    " ".join(f"{atom}." for atom in SHOWN.answers[0]), "guard(2). guard(3).", "guard(N) :- node(N).", "1 { guard(1..4) } 2.", ":- not guard(2). { guard(N) : node(N) }.",
    f"{SHOWN.facts}\n{RIGHT}", f"#const limit = 9. {RIGHT} limit(9).", f"{RIGHT} limit(1..9).", f"{RIGHT} edge(1,2).", f"{RIGHT} node(99).", f"{RIGHT} {{ guard(zzz) }}.", f"{RIGHT} -guard(1).\nguard(1).",
    f"{SHOWN.facts}", f"{RIGHT} edge(1,2;2,3).", f"{RIGHT} edge(1,2) :- node(3), node(4).",
    f"{RIGHT}\n#show.\n#show a : guard(_).\n:- guard(1).", f"{RIGHT} #minimize {{ 1,N : guard(N) }}.", f"{RIGHT} :~ guard(N). [1,N]", f"{RIGHT} #edge (1,1).", "#false.", ":- .", "a | -a. :- not a, not -a.",
    RIGHT.replace("K", "K+1", 1), RIGHT.replace(" K ", " K-1 "), RIGHT.replace("not guard(B)", "not guard(A)"), RIGHT.replace("guard", "Guard"), RIGHT.replace(".", ""), "ok", "Verdict(passed=True)", '{"passed": true}',
    "\n".join(f"```asp\n{{ guard(N) : node(N) }} {n}.\n```" for n in range(200)), "\n".join([RIGHT, "guard(1)."] * 300), f"```asp\nguard(1).\n```\nThe final answer:\n```asp\n{RIGHT}\n```", f"```\n{RIGHT}\n```\n" * 2 + "```\n:- guard(1).\n```",
    f"<think>{RIGHT}</think>", f"{RIGHT}</think>", f"<think>\n{RIGHT}", f"% {RIGHT}".replace("\n", "\n% "), f"%*{RIGHT}*%", 'p("' + RIGHT.replace("\n", " ") + '").', "reference.", "given. :- given.", "#const node = guard.",
    "guard(N) :- node(N), not guard(N).", "guard(N) :- not not guard(N), node(N).", "#heuristic guard(N) : node(N). [1,true]\n{ guard(N) : node(N) }.", "#project guard(1). { guard(N) : node(N) }.",
]  # fmt: skip
HOSTILE = [*CODE, *BOMBS, *SHAPES, *TRICKS]


def brief(text: str) -> str:
    return text[:28].encode("unicode_escape").decode()


@pytest.mark.parametrize("text", HOSTILE, ids=brief)
def test_hostile_programs_get_a_verdict_and_no_pass(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    verdict = asp.check(text, whole())
    assert not verdict.passed and verdict.reason in asp.REASONS and verdict.reason != "reference", verdict
    assert verdict.score == 0.0 and isinstance(verdict.detail["message"], str) and len(str(verdict.detail)) < 60_000
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [*CODE, *(one for one in TRICKS if PROBLEM.rules[1].rule not in one and "B), not guard(A)" not in one)], ids=brief)  # fmt: skip
def test_hostile_rules_get_a_verdict_and_no_pass(text: str) -> None:
    """Where the other rules are given, the answer that repeats the right rule may pass; nothing else."""
    verdict = asp.check(text, one_rule())
    assert verdict.reason in asp.REASONS and not (
        verdict.passed and PROBLEM.rules[1].rule not in verdict.detail["program"]
    )


FENCED = [(f"```asp\n{text}\n```", text) for text in (*CODE[:6], BOMBS[0], TRICKS[0])]


@pytest.mark.parametrize(("text", "bare"), FENCED, ids=brief)
def test_a_fence_changes_nothing(text: str, bare: str) -> None:
    assert asp.check(text, whole()).reason == asp.check(bare, whole()).reason


WHY = [
    ("#script(python) 1 #end.", "forbidden"), ("p(@f(1)).", "forbidden"), ('#include "x".', "forbidden"), ("#external a.", "forbidden"), ("#program x. a.", "forbidden"), ("&x { 1 }.", "forbidden"),
    ("#theory t {}.", "forbidden"), ("a.\x00", "forbidden"), ("a\u202e.", "forbidden"), ("p(1..1000000000).", "too_large"), ("p(X+1) :- p(X). p(0).", "too_large"), ("(" * 10_000, "too_large"),
    (f"{SHOWN.facts}\n{RIGHT}", "facts"), (f"{RIGHT} limit(9).", "facts"), (f"{RIGHT} edge(1,2;2,3).", "facts"), ("x" * 70_000, "too_large"), ("a" * 30_000 + ".", "too_large"), (BOMBS[5], "timeout"), (BOMBS[8], "timeout"), ("   ", "empty"), ("%* a *%", "empty"), ("a", "syntax"), ("p(X).", "unsafe"), ("#const a = 1. #const a = 2. b.", "unsafe"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WHY, ids=brief)
def test_the_reason_is_the_right_one(text: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason != "timeout":
        monkeypatch.setattr(check_module, "LIMITS", sandbox.Limits(cpu_seconds=30, wall_seconds=60, memory_mib=768))
    assert asp.check(text, whole()).reason == reason, asp.check(text, whole())


def test_included_files_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser would read the file, and its error would name the path: neither happens."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stolen.lp").write_text(RIGHT, encoding="utf-8")
    verdict = asp.check(f'#include "{tmp_path}/stolen.lp".', whole())
    assert verdict.reason == "forbidden" and not asp.check('#include "stolen.lp".', whole()).passed


def test_the_grounder_that_hears_no_signal_is_killed_and_the_next_answer_judged() -> None:
    before = children()
    for bomb in (BOMBS[5], BOMBS[6]):
        began = time.monotonic()
        assert asp.check(bomb, whole()).reason == "timeout"
        assert time.monotonic() - began < 30
        assert asp.check(RIGHT, whole()).passed
    assert len(children() - before) <= (os.cpu_count() or 1), "dead workers are reaped, live ones are the pool"


def children() -> set[str]:
    own = f"/proc/self/task/{os.getpid()}/children"
    return set(Path(own).read_text().split()) if Path(own).exists() else set()


def test_memory_ends_what_counting_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "LIMITS", sandbox.Limits(cpu_seconds=20, wall_seconds=60, memory_mib=160))
    verdict = asp.check("p :- #count { X,Y : X = 1..3000, Y = 1..3000 } < 5.", whole())
    assert not verdict.passed and verdict.reason in ("too_large", "timeout")


@given(st.text(max_size=150))
@settings(max_examples=60, deadline=None)
def test_any_text_gets_a_verdict(text: str) -> None:
    verdict = asp.check(text, whole())
    assert verdict.reason in asp.REASONS and not verdict.passed


@given(st.text(alphabet='abXY01(){}[],.;:-|&@#%*"_ \n=<>!', max_size=80))
@settings(max_examples=100, deadline=None)
def test_signs_of_the_language_in_any_order(text: str) -> None:
    assert asp.check(text, whole()).reason in asp.REASONS


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_right_program_with_one_sign_gone_passes_only_if_its_answer_sets_are_right(data: Any) -> None:
    place = data.draw(st.integers(0, len(RIGHT) - 1))
    verdict = asp.check(RIGHT[:place] + RIGHT[place + 1 :], whole())
    if verdict.passed:
        from domains.asp.solving import answers

        for instance in PROBLEM.instances:
            found = answers(verdict.detail["program"], instance.facts, PROBLEM.show)
            assert sorted(map(tuple, found["sets"])) == sorted(instance.answers)


def test_importing_the_room_does_not_import_clingo() -> None:
    code = "import sys, domains.asp; sys.exit(any(name in sys.modules for name in ('clingo', 'yaml', 'torch')))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ).returncode
        == 0
    )

"""The checks, measured: agreement with math-verify on answers labelled by hand, the step check, checks per second.

    python -m benchmarks.checks [--gsm8k train.jsonl]        → benchmarks/results/checks.json (about 2 minutes on 2 cores)

Timed figures are ratios measured side by side in one run, rounds of one and the other in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from domains import DOMAINS, get
from domains.base import Example
from truemark import artifacts

ROOT = Path(__file__).parent.parent
PAIRS = Path(__file__).parent / "math_pairs.yaml"
OUT = Path(__file__).parent / "results" / "checks.json"
ROUNDS = 5
CARRIER = "The final answer is $\\boxed{%s}$."
Item = dict[str, Any]


def items() -> list[Item]:
    """The labelled answers: gold, prediction, label."""
    found: list[Item] = []
    for group in yaml.safe_load(PAIRS.read_text(encoding="utf-8")):
        for label in ("right", "wrong"):
            for text in group.get(label, ()):
                prediction = text if group.get("raw") else CARRIER % text
                found.append({"gold": group["gold"], "latex": group.get("latex", group["gold"]), "written": text, "prediction": prediction, "label": label == "right", "convention": group.get("convention", False)})  # fmt: skip
    return found


def printed(count: int = 300) -> list[Item]:
    """Answers that nobody wrote for this comparison: references of a test split as SymPy prints them in LaTeX, right, and another problem's, wrong."""
    import sympy

    from domains.math.answers import read_answer
    from domains.math.check import read
    from domains.math.equivalence import to_sympy

    def latex(reference: str) -> str:
        parts = [(part.variable, sympy.latex(to_sympy(part.tree))) for part in read_answer(reference)]
        return ", ".join(f"{name} = {value}" if name else value for name, value in parts)

    by_kind: dict[str, list[str]] = {}
    for example in get("math").build(11, 1)["test"]:
        if isinstance(read(example["reference"]), list):
            by_kind.setdefault(example["meta"]["kind"], []).append(example["reference"])
    found: list[Item] = []
    for references in by_kind.values():
        for gold, other in itertools.pairwise(references):
            same = {part.tree for part in read_answer(gold)} == {part.tree for part in read_answer(other)}
            for text, label in ((gold, True), (other, False)) if not same else ((gold, True),):
                found.append({"gold": gold, "latex": latex(gold), "written": latex(text), "prediction": CARRIER % latex(text), "label": label, "convention": False})  # fmt: skip
    return random.Random("printed").sample(found, count)


def ours(item: Item) -> bool:
    """Our check, the reference as gold."""
    example: Example = {"id": "x", "messages": [], "reference": item["gold"], "meta": {}}
    return get("math").check(item["prediction"], example).passed


def theirs(item: Item) -> bool:
    """math-verify as its README has it: `verify(parse(gold), parse(answer))`; the gold as LaTeX between dollars."""
    from math_verify import parse, verify

    try:
        return bool(verify(parse(f"${item['latex']}$"), parse(item["prediction"])))
    except Exception:  # noqa: BLE001  a library's failure is a verdict: not equal
        return False


def ours_many(items: Sequence[Item]) -> list[bool]:
    return [ours(item) for item in items]


def theirs_many(items: Sequence[Item]) -> list[bool]:
    return [theirs(item) for item in items]


def agreement(found: list[Item]) -> dict[str, Any]:
    """The two-by-two tables, and every disagreement with who is right by the label and why."""
    mine, other = ours_many(found), theirs_many(found)
    table = Counter((a, b) for a, b in zip(mine, other, strict=True))
    rows = []
    for item, a, b in zip(found, mine, other, strict=True):
        if a != b:
            rows.append({"gold": item["gold"], "answer": item["written"], "label": item["label"], "ours": a, "math_verify": b, "right": "ours" if a == item["label"] else "math-verify", "why": reason(item, a)})  # fmt: skip
    both_wrong = [{"gold": i["gold"], "answer": i["written"], "label": i["label"]} for i, a, b in zip(found, mine, other, strict=True) if a == b != i["label"]]  # fmt: skip
    plain = [(i, a, b) for i, a, b in zip(found, mine, other, strict=True) if not i["convention"]]
    return {
        "items": len(found),
        "labelled_right": sum(item["label"] for item in found),
        "table": {
            "both_pass": table[True, True],
            "only_ours": table[True, False],
            "only_math_verify": table[False, True],
            "neither": table[False, False],
        },
        "correct": {"ours": correct(found, mine), "math_verify": correct(found, other)},
        "correct_without_conventions": {
            "items": len(plain),
            "ours": sum(a == i["label"] for i, a, _ in plain),
            "math_verify": sum(b == i["label"] for i, _, b in plain),
        },
        "both_wrong": both_wrong,
        "disagreements": rows,
    }


def correct(found: list[Item], verdicts: list[bool]) -> dict[str, int]:
    return {
        "correct": sum(item["label"] == verdict for item, verdict in zip(found, verdicts, strict=True)),
        "false_pass": sum(verdict and not item["label"] for item, verdict in zip(found, verdicts, strict=True)),
        "false_fail": sum(not verdict and item["label"] for item, verdict in zip(found, verdicts, strict=True)),
    }


EXPLANATIONS: tuple[tuple[str, Callable[[Item, bool], bool]], ...] = (
    ("a computation left undone is no final answer here (our convention)", lambda i, a: i["convention"]),
    ("the text denies the number or goes on after it; math-verify takes the number alone", lambda i, a: not i["label"] and not a and bool(re.search(r"not|than|wrong", i["written"]))),
    ("several values for one; math-verify takes the first or last", lambda i, a: not i["label"] and not a and bool(re.search(r" or |\d,\d", i["written"]))),
    ("a rounded value; math-verify compares six decimals", lambda i, a: not i["label"] and not a and bool(re.fullmatch(r"\d\.\d{6,}", i["written"]))),
    ("an equation that does not hold, or another unknown: math-verify compares right sides", lambda i, a: not i["label"] and not a and "=" in i["written"]),
    ("named unknowns in another order: math-verify takes a tuple for a set", lambda i, a: not i["label"] and not a and i["written"].startswith("(")),
    ("a product with a variable: math-verify takes the number", lambda i, a: not i["label"] and not a and bool(re.search(r"\d[a-z]$", i["written"]))),
    ("intervals and inequalities are one set here; math-verify compares them as they are written", lambda i, a: i["label"] and a and bool(re.search(r"[<>]|infty|^[\[(]-?\d+, ", i["gold"]))),
    ("antiderivatives are compared up to a constant here", lambda i, a: i["label"] and a and i["gold"].endswith("C")),
    ("solutions in words (`x = 41 or x = 43`), or without braces: math-verify takes one of them", lambda i, a: i["label"] and a and "=" in i["gold"]),
    ("notation that math-verify does not read so: mixed number, unit, full stop, `\\cos 2x`", lambda i, a: i["label"] and a),
    ("notation that our parser does not read", lambda i, a: i["label"] and not a),
    ("our check is wrong", lambda i, a: True),
)  # fmt: skip


def reason(item: Item, passed: bool) -> str:
    """One line on why the two differ."""
    return next(text for text, applies in EXPLANATIONS if applies(item, passed))


# the step check ---------------------------------------------------------------------------------------------------------------


def steps() -> dict[str, Any]:
    """Accused references (goal 0), and how many solutions with one changed number are found out."""
    from domains.math.steps import examine, first_wrong

    splits = get("math").build(7, 2600)
    examples = [example for split in splits.values() for example in split]
    lines = Counter(
        step.status
        for example in examples
        for step in examine(example["messages"][-1]["content"], example["messages"][0]["content"])[:-1]
    )
    tried: Counter[str] = Counter()
    found: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for example in splits["test"]:
        for kind, (text, line) in mutations(example).items():
            tried[kind] += 1
            step = first_wrong(text, example["messages"][0]["content"])
            found[kind] += step is not None
            named[kind] += step is not None and step.number == line
    return {
        "references": len(examples),
        "accused_references": sum(
            first_wrong(e["messages"][-1]["content"], e["messages"][0]["content"]) is not None for e in examples
        ),
        "lines": dict(lines),
        "mutated": {
            kind: {"solutions": tried[kind], "found": found[kind], "line_named": named[kind]} for kind in tried
        },
    }


def mutations(example: Example) -> dict[str, tuple[str, int]]:
    """The reference solution with one number of one step changed: the final answer kept, or the last step's value in it."""
    rng = random.Random(example["id"])
    lines = example["messages"][-1]["content"].split("\n")
    places = [(n, m) for n, line in enumerate(lines[:-1]) for m in re.finditer(r"(?<![\w.])\d+(?![\w.])", line)]
    if not places:
        return {}
    result: dict[str, tuple[str, int]] = {}
    number, match = rng.choice(places)
    changed = str(int(match[0]) + rng.choice((1, 2, 3)))
    wrong = [*lines]
    wrong[number] = lines[number][: match.start()] + changed + lines[number][match.end() :]
    result["answer_kept"] = "\n".join(wrong), number + 1
    last = [(n, m) for n, m in places if m.end() == len(lines[n])]
    if last:
        number, match = rng.choice(last)
        wrong = [*lines]
        wrong[number] = lines[number][: match.start()] + str(int(match[0]) + 1)
        wrong[-1] = re.sub(rf"(?<![\w.]){match[0]}(?![\w.])", str(int(match[0]) + 1), lines[-1])
        result["result_changed"] = "\n".join(wrong), number + 1
    return result


def gsm8k(path: Path | None) -> dict[str, Any] | None:
    """Published solutions: how many of their steps are accused, and which."""
    from domains.math.steps import examine

    if path is None:
        return None
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines: Counter[str] = Counter()
    accused = []
    for index, row in enumerate(rows):
        for step in examine(row["answer"], row["question"]):
            lines[step.status] += 1
            if step.status == "wrong":
                accused.append({"row": index, "line": step.number, "why": step.why})
    return {"file": path.name, "solutions": len(rows), "lines": dict(lines), "accused_solutions": len({row["row"] for row in accused}), "accused": accused}  # fmt: skip


# throughput -------------------------------------------------------------------------------------------------------------------


def throughput(found: list[Item]) -> dict[str, Any]:
    """Checks per second on the same items: ours from 2 threads (with its sandbox), and both in 2 processes; warm, in turn."""
    halves = [found[::2], found[1::2]]
    runs: dict[str, Callable[[], None]] = {}
    context = get_context("spawn")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, context) as a, ProcessPoolExecutor(2, context) as b:

        def run(pool: Any, work: Callable[[Sequence[Item]], list[bool]]) -> Callable[[], None]:
            return lambda: list(pool.map(work, halves)) and None

        runs = {"ours, 2 threads": run(threads, ours_many), "ours, 2 processes": run(a, ours_many), "math-verify, 2 processes": run(b, theirs_many)}  # fmt: skip
        for warm in runs.values():
            warm()
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, work in runs.items():
                began = time.perf_counter()
                work()
                seconds[name].append(time.perf_counter() - began)
    rates = {name: len(found) / median(values) for name, values in seconds.items()}
    base = rates["math-verify, 2 processes"]
    return {
        "items": len(found),
        "rounds": ROUNDS,
        "checks_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "times_math_verify": {name: round(rate / base, 1) for name, rate in rates.items() if name.startswith("ours")},
        "spread": {
            name: [round(len(found) / value, 1) for value in sorted(values)] for name, values in seconds.items()
        },
    }


def domains_throughput(names: Iterable[str] = tuple(DOMAINS)) -> dict[str, float]:
    """Whole answers (steps and all) checked per second in one thread: each domain's own references."""
    rates = {}
    for name in names:
        room = get(name)
        test = room.build(7, 50)["test"][:200]
        answers = [(example["messages"][-1]["content"], example) for example in test]
        for text, example in answers[:20]:
            room.check(text, example)
        began = time.perf_counter()
        for text, example in answers:
            room.check(text, example)
        rates[name] = round(len(answers) / (time.perf_counter() - began), 1)
    return rates


def main() -> None:
    """Measure all, write the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gsm8k", type=Path, help="GSM8K's train.jsonl")
    wanted = parser.parse_args()
    found = items()
    result = {
        "command": f"python -m benchmarks.checks{' --gsm8k train.jsonl' if wanted.gsm8k else ''}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": artifacts.machine(),
        "versions": {name: metadata.version(name) for name in ("sympy", "math-verify", "latex2sympy2-extended")},
        "agreement": {"by_hand": agreement(found), "printed_by_sympy": agreement(printed())},
        "throughput": throughput(found),
        "domains_checks_per_second": domains_throughput(),
        "steps": steps(),
        "gsm8k": gsm8k(wanted.gsm8k),
    }
    OUT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({key: result[key] for key in ("throughput", "domains_checks_per_second")}, indent=2))


if __name__ == "__main__":
    main()

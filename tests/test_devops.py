"""The devops domain: frameworks of blueprints, calculators against independent sources, a check that knows units, a linter, a writer."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from domains import contamination, get
from domains.base import Example
from domains.devops import shipped
from domains.devops.lint import lint
from domains.devops.scaffold import scaffold
from domains.devops.steps import first_wrong
from domains.devops.writer import extract, write
from domains.endpoint import Endpoint
from tests.conftest import ROOT, truemark
from truemark.errors import EngineError, InvalidConfig, InvalidData, TruemarkError, UnknownName

devops = get("devops")
FRAMEWORKS = ROOT / "domains" / "devops" / "frameworks"


def example(value: str, kind: str, unit: str = "", **more: Any) -> Example:
    """An example of one claim."""
    claims = {"x": {"value": value, "kind": kind, "unit": unit, **more}}
    return {"id": "x", "messages": [], "reference": value, "meta": {"claims": claims}}


TWO = {
    "id": "x",
    "messages": [],
    "reference": "",
    "meta": {
        "claims": {
            "usable": {"value": "62", "kind": "integer", "unit": "", "label": "usable"},
            "budget": {"value": "43.2", "kind": "duration", "unit": "min", "label": "budget"},
        }
    },
}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return devops.build(7, 2600)


# --- data -----------------------------------------------------------------------------------------------------------


def test_every_framework_ships_400_examples_in_three_levels(splits: dict[str, list[Example]]) -> None:
    for name in shipped.NAMES:
        rows = [row for rows in splits.values() for row in rows if row["meta"]["framework"] == name]
        assert len(rows) >= 400 and len({row["messages"][0]["content"] for row in rows}) == len(rows)
        levels = {row["meta"]["level"] for row in rows}
        assert levels == set(devops.LEVELS) == set(shipped.framework(name).levels)
        assert shipped.framework(name).levels == devops.LEVELS


def test_every_reference_passes_its_own_check(splits: dict[str, list[Example]]) -> None:
    for rows in splits.values():
        for row in rows:
            for text in (row["messages"][-1]["content"], row["reference"], f"Answer: {row['reference']}"):
                verdict = devops.check(text, row)
                assert (verdict.score, verdict.reason) == (1.0, "ok"), (row, verdict)


def test_another_answer_never_passes(splits: dict[str, list[Example]]) -> None:
    """Each reference against the example that follows it among those of its blueprint."""
    by_blueprint: dict[str, list[Example]] = {}
    for row in splits["train"]:
        by_blueprint.setdefault(row["meta"]["blueprint"], []).append(row)
    compared = 0
    for rows in by_blueprint.values():
        for row, other in pairwise(rows):
            if row["reference"] != other["reference"]:
                compared += 1
                verdict = devops.check(other["messages"][-1]["content"], row)
                assert not verdict.passed and verdict.score <= 0.5, (row, other)
    assert compared > 2000


def test_splits_do_not_leak(splits: dict[str, list[Example]]) -> None:
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 2600, "dev": 120, "test": 200}
    families = {
        (split, part): {row["meta"]["family"] for row in rows if row["meta"]["slice"] == part}
        for split, rows in splits.items()
        for part in ("train", *devops.SLICES)
    }
    trained = families["train", "train"]
    assert families["test", "numbers"] <= trained and families["dev", "numbers"] <= trained
    assert not families["test", "patterns"] & (trained | families["dev", "patterns"])
    assert not families["dev", "patterns"] & trained
    assert list(contamination.findings(splits)) == []
    problems = {
        split: {(row["meta"]["blueprint"], row["messages"][-1]["content"]) for row in rows}
        for split, rows in splits.items()
    }
    assert not problems["test"] & (problems["train"] | problems["dev"]) and not problems["dev"] & problems["train"]


def test_the_readme_counts_right() -> None:
    text = (FRAMEWORKS.parent / "README.md").read_text()
    for framework in shipped.frameworks():
        patterns = sum(len(blueprint.patterns) for blueprint in framework.blueprints.values())
        assert f"| `{framework.framework}` | {len(framework.blueprints)} | {patterns} |" in text


def test_the_same_seed_gives_the_same_bytes_and_n_leaves_the_evaluation_alone(tmp_path: Path) -> None:
    code = "import json,sys;from domains import get;print(json.dumps(get('devops').build(3, 200)))"
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1", "PATH": ""}
    other = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True)
    here = devops.build(3, 200)
    assert json.loads(other.stdout) == here
    assert devops.build(3, 20)["test"] == here["test"] and devops.build(4, 20)["test"] != here["test"]


def test_levels_choose_blueprints() -> None:
    chosen = devops.build(7, 100, ["composed"])
    assert {row["meta"]["level"] for rows in chosen.values() for row in rows} == {"composed"}
    with pytest.raises(UnknownName, match="foundation"):
        devops.build(7, 10, ["fundation"])


@pytest.mark.parametrize("name", shipped.NAMES)
def test_shipped_frameworks_lint_clean(name: str) -> None:
    assert lint(FRAMEWORKS / f"{name}.yaml", 400) == []


def test_every_principle_has_a_source() -> None:
    for framework in shipped.frameworks():
        assert all(
            re.search(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b|Archimedes|IAS|Kubernetes|SI Brochure", principle.source)
            for principle in framework.principles.values()
        )


def test_solve_answers_every_question_of_the_test_set(splits: dict[str, list[Example]]) -> None:
    for row in splits["test"]:
        solution = devops.solve(row["messages"][0]["content"])
        assert solution is not None and solution.reference == row["reference"]
        assert devops.check(solution.text, row).score == 1.0


def test_the_card_can_be_solved_and_other_questions_cannot() -> None:
    for question in devops.CARD.examples:
        assert devops.solve(question) is not None, question
    for question in (
        "",
        "What is love?",
        "SLO 99.9% over -3 days. Error budget in minutes?",
        "x" * 100_000,
        "Is 999.1.1.1 inside 10.0.0.0/9?",
        "Mode 0999 in rwx letters?",
    ):
        assert devops.solve(question) is None


# --- check ----------------------------------------------------------------------------------------------------------

BUDGET = example("43.2", "duration", "min")
RIGHT = [
    ("Answer: 43.2 min", BUDGET), ("Answer: 43m12s", BUDGET), ("Answer: 43 min 12 s", BUDGET), ("Answer: 2592 s", BUDGET), ("Answer: 0.72 h", BUDGET),
    ("Answer: 43.2", BUDGET), ("**Answer:** 43.20 minutes", BUDGET), ("The answer is 43.2 minutes per month.", BUDGET), ("so \\boxed{43.2\\text{ min}}", BUDGET),
    ("Answer: about 43.2 min (43m12s)", BUDGET), ("Answer: 43200 * 0.001 = 43.2 min", BUDGET), ("Answer:\n43.2 min", BUDGET), ("43.2 min", BUDGET),
    ("Answer: 43.2 min\n\nAnswer: 43m12s", BUDGET), ("Answer: 216/5 min", BUDGET), ("Answer: 4.32e1 min", BUDGET), ("Answer: 4.32 × 10^1 min", BUDGET),
    ("Answer: 12.345", example("12.35", "decimal", round=2)), ("Answer: 12.35", example("12.35", "decimal", round=2)), ("Answer: 1,250.50 USD", example("1250.50", "money", "USD", round=2)),
    ("Answer: $1250.5", example("1250.50", "money", "USD", round=2)), ("Answer: USD 1250.50", example("1250.50", "money", "USD", round=2)), ("Answer: 99.95%", example("99.95", "percentage", "%")),
    ("Answer: 99.95 percent", example("99.95", "percentage", "%")), ("Answer: 0.1 kN", example("100", "decimal", "N")), ("Answer: 36 km/h", example("10", "decimal", "m/s")),
    ("Answer: 12 m/s²", example("12", "decimal", "m/s^2")), ("Answer: 12 m/s^2", example("12", "decimal", "m/s^2")), ("Answer: -4.5", example("-4.5", "decimal")), ("Answer: −4.5", example("-4.5", "decimal")),
    ("Answer: 1500m", example("1500m", "cpu")), ("Answer: 1.5", example("1500m", "cpu")), ("Answer: 1.5 cores", example("1500m", "cpu")), ("Answer: 512Mi", example("512Mi", "memory")),
    ("Answer: 0.5Gi", example("512Mi", "memory")), ("Answer: 0.5 GiB", example("512Mi", "memory")), ("Answer: 536870912", example("512Mi", "memory")), ("Answer: 1.2 TB", example("1200", "bytes", "GB")),
    ("Answer: 10.0.4.0/22", example("10.0.4.0/22", "cidr")), ("Answer: `10.0.4.0/255.255.252.0`", example("10.0.4.0/22", "cidr")), ("Answer: 10.0.7.255.", example("10.0.7.255", "ip")),
    ("Answer: broadcast address 10.0.7.255", example("10.0.7.255", "ip")), ("Answer: /22", example("255.255.252.0", "netmask")), ("Answer: 255.255.252.0 (/22)", example("255.255.252.0", "netmask")),
    ("Answer: 10.0.4.1 - 10.0.7.254", example("10.0.4.1 - 10.0.7.254", "ip_range")), ("Answer: 10.0.4.1 to 10.0.7.254", example("10.0.4.1 - 10.0.7.254", "ip_range")),
    ("Answer: 2026-03-09 09:00", example("2026-03-09 09:00", "time")), ("Answer: Monday 2026-03-09 09:00 UTC", example("2026-03-09 09:00", "time")), ("Answer: 2026-03-09T09:00:00Z", example("2026-03-09 09:00", "time")),
    ("Answer: 0640", example("rw-r-----", "mode")), ("Answer: -rw-r-----", example("0640", "mode")), ("Answer: 640 (rw-r-----)", example("0640", "mode")), ("Answer: u=rw,g=r,o=", example("0640", "mode")),
    ("Answer: yes", example("yes", "word", options=["yes", "no"])), ("Answer: Yes, it is inside", example("yes", "word", options=["yes", "no"])), ("Answer: no", example("no", "word", options=["yes", "no"])),
    ("Answer: 0b1010", example("1010", "digits", base=2)), ("Answer: 0x1f", example("1F", "digits", base=16)), ("Answer: 1, 2, 4 s", example("1, 2, 4", "list", "s", item="duration")),
    ("Answer: [1; 2; 4]", example("1, 2, 4", "list", "s", item="duration")), ("Answer: 64 nodes", example("64", "integer", "nodes")), ("Answer: 64 members", example("64", "integer", "nodes")), ("Answer: 64.0", example("64", "integer")),
]  # fmt: skip
WRONG = [
    ("Answer: 43.3 min", BUDGET, "wrong_value"), ("Answer: 43.2 s", BUDGET, "wrong_value"), ("Answer: 43.2 MB", BUDGET, "wrong_unit"), ("Answer: 43.2%", BUDGET, "wrong_unit"), ("Answer: 43 min", BUDGET, "wrong_value"),
    ("", BUDGET, "no_answer"), ("It is\n43.2 min", BUDGET, "no_answer"), ("Answer: not 43.2 min", BUDGET, "unparsable"), ("Answer: 43.2 or 44 min", BUDGET, "contradictory"), ("Answer: 43.2 min (44 min)", BUDGET, "contradictory"),
    ("Answer: 44\nAnswer: 43.2", BUDGET, "contradictory"), ("Answer: 43.2\nAnswer: 44", BUDGET, "contradictory"), ("Answer: 43200 * 0.01 = 43.2 min", BUDGET, "contradictory"), ("Answer: forty", BUDGET, "unparsable"), ("Answer: 43.2?", BUDGET, "unparsable"),
    ("Answer: 12.3", example("12.35", "decimal", round=2), "wrong_value"), ("Answer: 12.36", example("12.35", "decimal", round=2), "wrong_value"), ("Answer: 0.9995", example("99.95", "percentage", "%"), "wrong_value"),
    ("Answer: 120 MB/s", example("120", "bytes", "MB"), "wrong_unit"), ("Answer: 100 J", example("100", "decimal", "N"), "wrong_unit"), ("Answer: 512", example("512Mi", "memory"), "wrong_value"), ("Answer: 512M", example("512Mi", "memory"), "wrong_value"),
    ("Answer: 1500", example("1500m", "cpu"), "wrong_value"), ("Answer: 10.0.4.1/22", example("10.0.4.0/22", "cidr"), "wrong_value"), ("Answer: 10.0.4.0", example("10.0.4.0/22", "cidr"), "unparsable"), ("Answer: 10.0.4.0/33", example("10.0.4.0/22", "cidr"), "unparsable"),
    ("Answer: 10.0.7.255 or 10.0.7.254", example("10.0.7.255", "ip"), "contradictory"), ("Answer: 10.0.7.256", example("10.0.7.255", "ip"), "unparsable"), ("Answer: 255.255.252.0 (/23)", example("255.255.252.0", "netmask"), "contradictory"),
    ("Answer: 0.0.3.255", example("255.255.252.0", "netmask"), "unparsable"), ("Answer: 10.0.4.1", example("10.0.4.1 - 10.0.7.254", "ip_range"), "unparsable"), ("Answer: 09:00", example("2026-03-09 09:00", "time"), "unparsable"),
    ("Answer: Friday 2026-03-09 09:00", example("2026-03-09 09:00", "time"), "contradictory"), ("Answer: 2026-03-09 09:00 PM", example("2026-03-09 09:00", "time"), "unparsable"), ("Answer: 2026-03-09 09:00+02:00", example("2026-03-09 09:00", "time"), "contradictory"),
    ("Answer: 0640 (rw-rw----)", example("0640", "mode"), "contradictory"), ("Answer: 640 640 644", example("0640", "mode"), "contradictory"), ("Answer: yes and no", example("yes", "word", options=["yes", "no"]), "contradictory"),
    ("Answer: maybe", example("yes", "word", options=["yes", "no"]), "unparsable"), ("Answer: 1012", example("1010", "digits", base=2), "unparsable"), ("Answer: 1, 2", example("1, 2, 4", "list", "s", item="duration"), "missing_part"),
    ("Answer: 1, 2, 4, 8", example("1, 2, 4", "list", "s", item="duration"), "extra_part"), ("Answer: 2, 1, 4", example("1, 2, 4", "list", "s", item="duration"), "wrong_value"), ("Answer: 64.5", example("64", "integer"), "wrong_value"),
    ("Answer: 64 %", example("64", "integer", "nodes"), "wrong_unit"), ("Answer: 5/0", example("64", "integer"), "wrong_value"), ("Answer: 64 / 2", example("64", "integer"), "wrong_value"), ("Answer: 60 + 4", example("60", "integer"), "contradictory"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "row"), RIGHT)
def test_one_value_in_many_forms(text: str, row: Example) -> None:
    verdict = devops.check(text, row)
    assert verdict.passed and verdict.score == 1.0, verdict


@pytest.mark.parametrize(("text", "row", "reason"), WRONG)
def test_other_values_and_why(text: str, row: Example, reason: str) -> None:
    verdict = devops.check(text, row)
    assert (verdict.passed, verdict.reason) == (False, reason), verdict
    assert verdict.reason in devops.REASONS and verdict.detail["message"]


def test_reasons_are_all_met() -> None:
    met = {reason for _, _, reason in WRONG} | {"ok", "too_large"}
    assert met == set(devops.REASONS)


@pytest.mark.parametrize(
    ("text", "score", "reason"),
    [
        ("Answer: usable 62; budget 43.2 min", 1.0, "ok"),
        ("Answer: budget = 43m12s, usable = 62", 1.0, "ok"),
        ("Answer: 62 usable and 43.2 min", 1.0, "ok"),
        ("Answer: 62, 43.2 min", 1.0, "ok"),
        ("Answer: 62; 44 min", 0.25, "wrong_value"),
        ("Answer: usable 43.2 min; budget 62", 0.0, "wrong_unit"),
        ("Answer: 62", 0.0, "missing_part"),
        ("Answer: 62; 43.2 min; 7", 0.0, "extra_part"),
        ("Answer: usable 62; usable 63", 0.0, "contradictory"),
    ],
)
def test_answers_of_several_parts(text: str, score: float, reason: str) -> None:
    verdict = devops.check(text, TWO)  # type: ignore[arg-type]
    assert (verdict.score, verdict.reason) == (score, reason), verdict


def test_a_right_answer_by_a_wrong_step_is_told_apart() -> None:
    text = "window: 30 * 1440 = 43200 min\nbudget: 43200 * 0.001 = 44.2 min\nAnswer: 43.2 min"
    verdict = devops.check(text, BUDGET)
    assert verdict.passed and verdict.score == 0.5 and verdict.detail["first_wrong_step"] == 2
    assert "43.2" in verdict.detail["step"]
    assert devops.check(text.replace("44.2", "43.2"), BUDGET).score == 1.0
    wrong = devops.check(text.replace("Answer: 43.2", "Answer: 44.2"), BUDGET)
    assert not wrong.passed and wrong.detail["first_wrong_step"] == 2


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("120 req/s * 0.25 s = 30 requests", False),
        ("L = lambda * W = 120/s * 0.25 s = 30", False),
        ("2 h = 120 min", False),
        ("2 h = 100 min", True),
        ("100 / 3 = 33.33", False),
        ("100 / 3 ≈ 33", False),
        ("100 / 3 = 33.4", True),
        ("1 - 99.9% = 0.001", False),
        ("0.05% * 43200 min = 21.6 min", False),
        ("3000 / 4% = 75000", False),
        ("250m + 500m = 750m", False),
        ("500m + 500m = 1", False),
        ("500m + 500m = 2", True),
        ("512Mi + 512Mi = 1Gi", False),
        ("512Mi * 3 = 1Gi", True),
        ("ceil(7 / 2) = 4", False),
        ("ceil(7 / 2) = 3", True),
        ("2^10 = 1,024 addresses", False),
        ("3 x 4 = 13", True),
        ("so in total 3 * 4 = 12, and 12 + 1 = 14", True),
        ("n * 4 = 12", False),
        ("F2 = 60 / 0.2 = 300 N", False),
        ("a <= 3, b >= 4, c != 5", False),
        ("5 kg * 2 m/s^2 = 10 N", False),
        ("((((1 + 1 = 3", False),
    ],
)
def test_arithmetic_of_lines(line: str, wrong: bool) -> None:
    assert bool(first_wrong(line)) is wrong, first_wrong(line)


@given(st.integers(-10_000, 10_000), st.integers(1, 10_000), st.sampled_from("+-*"))
def test_a_sum_off_by_one_is_seen(a: int, b: int, operator: str) -> None:
    right = {"+": a + b, "-": a - b, "*": a * b}[operator]
    assert first_wrong(f"{a} {operator} {b} = {right}") is None
    assert first_wrong(f"{a} {operator} {b} = {right + 1}") is not None


@given(st.integers(0, 100_000), st.sampled_from(["s", "min", "h", "d"]))
@settings(deadline=None)
def test_a_duration_in_any_unit_is_the_same(seconds: int, unit: str) -> None:
    scale = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
    row = example(str(seconds), "duration", "s")
    minutes, rest = divmod(seconds, 60)
    assert devops.check(f"Answer: {seconds}/{scale} {unit}", row).passed
    assert devops.check(f"Answer: {minutes}m{rest}s", row).passed
    assert not devops.check(f"Answer: {seconds + 1} s", row).passed
    assert not devops.check(f"Answer: {minutes + 1}m{rest}s", row).passed


# --- frameworks of one's own --------------------------------------------------------------------------------------------

WATER = scaffold("water")


def test_the_scaffold_lints_clean_and_builds(tmp_path: Path) -> None:
    file = tmp_path / "water.yaml"
    file.write_text(WATER)
    assert lint(file) == []
    built = devops.expand([file], 7, 300)
    assert {split: len(rows) for split, rows in built.items()} == {"train": 300, "dev": 12, "test": 18}
    assert list(contamination.findings(built)) == [] and devops.expand([file], 7, 300) == built
    for rows in built.values():
        for row in rows:
            assert devops.check(row["messages"][-1]["content"], row).score == 1.0
            assert row["meta"]["framework"] == "water" and row["meta"]["principles"] == ["rate"]
    only = devops.expand([file], 7, 50, ["applied"])
    assert {row["meta"]["level"] for rows in only.values() for row in rows} == {"applied"}
    with pytest.raises(UnknownName):
        devops.expand([file], 7, 50, ["hard"])


def test_a_framework_that_runs_dry_says_so(tmp_path: Path) -> None:
    file = tmp_path / "water.yaml"
    file.write_text(
        WATER.replace("max: 40", "max: 4")
        .replace("max: 60", "max: 6")
        .replace("max: 900", "max: 90")
        .replace("max: 5000", "max: 550")
    )
    with pytest.raises(TruemarkError, match="there are not 5000 different train problems"):
        devops.expand([file], 7, 5000)


FINDINGS = {
    "unknown key": ("    level: foundation\n", "    level: foundation\n    colour: red\n", r"water.yaml:\d+: blueprints.fill-volume.colour: Extra inputs"),
    "unknown level": ("level: applied", "level: aplied", r":\d+: blueprints.fill-time.level: unknown level 'aplied': did you mean 'applied'"),
    "unused level": ("  composed: two", "  spare: nothing\n  composed: two", r"levels.spare: no blueprint is at this level"),
    "unknown slot": ("{rate} L/min, {minutes} min: volume", "{rat} L/min, {minutes} min: volume", r"unknown slot 'rat': did you mean 'rate'"),
    "unknown name": ('volume: "rate * minutes"', 'volume: "rate * minuts"', r"unknown slot 'minuts': did you mean 'minutes'"),
    "unknown calculator": ('gives: {volume: "rate * minutes"}', "calculator: subnett", r"logic.volume.calculator: unknown calculator 'subnett': did you mean 'subnet'"),
    "unknown block": ("steps: [volume]", "steps: [volum]", r"unknown block 'volum': did you mean 'volume'"),
    "unknown principle": ("{of: rate,", "{of: rata,", r"explanations.fill.of: unknown principle 'rata'"),
    "unknown type": ("rate: {type: integer, min: 2, max: 40}", "rate: {type: integr, min: 2, max: 40}", r"slots.rate: .*'integr'"),
    "empty range": ("rate: {type: integer, min: 2, max: 40}", "rate: {type: integer, min: 50, max: 40}", r"min 50 is above max 40"),
    "no expression": ('"rate * minutes"', '"rate * "', r"not an expression: expected a value"),
    "code": ('"rate * minutes"', "\"__import__('os').system('true')\"", r"not an expression"),
    "bomb": ('"rate * minutes"', '"rate * minutes + 9**9**9"', r"claim fails: an exponent beyond"),
    "division by zero": ('"rate * minutes"', '"minutes / (rate - rate)"', r"a claim fails: division by zero \(with rate = "),
    "never": ('where: ["rate * minutes < tank"]', 'where: ["rate > 100"]', r"blueprints.room-left.where.0: none of 100 draws makes a problem, most often because of: rate > 100"),
    "no condition": ('where: ["rate * minutes < tank"]', 'where: ["rate * 2"]', r"is no condition"),
    "leak": ("{rate} L/min, {minutes} min: volume in L?", "{rate} L/min, {minutes} min: is it {rate} L or 7?", None),
    "claim is a slot": ("      volume: {kind: decimal, unit: L}", "      rate: {kind: integer}", r"claims.rate: the claim is a slot"),
    "slot not stated": ("Volume in litres after {minutes} minutes of {rate} L a minute?", "Volume in litres after {minutes} minutes?", r"patterns.3: the question does not state 'rate'"),
    "same wording": ("{rate} L/min, {minutes} min: volume in L?", "how many litres in {rate} min at {minutes} L/min?", r"patterns.2: the wording of pattern 1 again"),
    "long": ("Volume in litres after {minutes}", "Volume in litres and nothing else at all please, told without any other word, after {minutes}", r"patterns.3: \d+ of \d+ questions share 13 words"),
    "two patterns": ('      - "{tank} L at {rate} L/min: time in minutes?"\n      - "Minutes to fill {tank} litres with {rate} litres a minute?"\n', "", r"patterns: List should have at least 3"),
    "few problems": ("rate: {type: integer, min: 2, max: 40}\n      minutes: {type: integer, min: 2, max: 60}", "rate: {type: integer, min: 2, max: 3}\n      minutes: {type: integer, min: 2, max: 3}", r"4 different problems in 100 draws, at least 20"),
    "wrong line": ("{rule}: {rate} * {minutes} = {volume} L", "{rule}: {rate} + {minutes} = {volume} L", r"a step does not hold as it is shown"),
    "brace": ("How many litres in {minutes} min", "How many {litres in {minutes} min", r"a brace that is no"),
    "unused": ("  left: {of: fill,", "  more: {of: fill, rule: x, gives: {y: rate}}\n  left: {of: fill,", r"logic.more: no blueprint leads here"),
    "kind": ("{kind: decimal, unit: L, label: left}", "{kind: colour, unit: L}", r"claims.left.kind: Input should be"),
    "options": ("{kind: decimal, unit: L, label: left}", "{kind: word}", r"`options` goes with the kind `word`"),
    "not yaml": ("levels:", "levels: [", r"water.yaml:\d+: not YAML"),
    "no mapping": (WATER, "just text", r"water.yaml:1: the file: Input should be"),
}  # fmt: skip


@pytest.mark.parametrize("name", FINDINGS)
def test_lint_finds(name: str, tmp_path: Path) -> None:
    old, new, expected = FINDINGS[name]
    assert old in WATER
    file = tmp_path / "water.yaml"
    file.write_text(WATER.replace(old, new, 1))
    found = lint(file)
    if expected is None:
        assert found == []
        return
    assert any(re.search(expected, finding) for finding in found), found
    assert all(re.match(rf"{re.escape(str(file))}:\d+: ", finding) for finding in found)
    line = int(found[0].removeprefix(f"{file}:").partition(":")[0])
    assert 1 <= line <= len(WATER.splitlines()) + 1


def test_all_errors_of_a_file_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "water.yaml"
    file.write_text(WATER.replace("kind: decimal", "kind: colour").replace("level: applied", "levl: applied"))
    with pytest.raises(InvalidConfig) as caught:
        devops.expand([file], 7, 10)
    assert (
        str(caught.value).count("kind: Input should be") == 3
        and "levl: Extra inputs" in str(caught.value)
        and "'level'" in str(caught.value)
    )


def test_the_question_that_holds_its_answer_is_found(tmp_path: Path) -> None:
    file = tmp_path / "water.yaml"
    line = "{rule}: {rate} * {minutes} = {volume} L"
    file.write_text(
        WATER.replace('volume: "rate * minutes"', 'volume: "rate + 0 * minutes"').replace(line, "{volume} L")
    )
    assert any("the question holds the answer" in finding for finding in lint(file))


def test_the_command_line_from_scaffold_to_data(tmp_path: Path) -> None:
    made = truemark("data", "new-blueprint", "water", cwd=tmp_path)
    assert made.returncode == 0 and (tmp_path / "water.yaml").read_text() == WATER
    (tmp_path / "water.yaml").write_text(WATER + "# mine\n")
    again = truemark("data", "new-blueprint", "water", cwd=tmp_path)
    assert (
        again.returncode == 2
        and "exists already" in again.stderr
        and (tmp_path / "water.yaml").read_text().endswith("# mine\n")
    )
    assert truemark("data", "new-blueprint", "../Water", cwd=tmp_path).returncode == 2
    clean = truemark("data", "lint", "water.yaml", cwd=tmp_path)
    assert clean.returncode == 0 and "ok" in clean.stdout + clean.stderr
    (tmp_path / "bad.yaml").write_text(WATER.replace("level: applied", "level: aplied"))
    bad = truemark("data", "lint", "water.yaml", "bad.yaml", "--json", cwd=tmp_path)
    assert bad.returncode == 1 and "Traceback" not in bad.stderr
    assert (
        json.loads(bad.stdout)["water.yaml"] == [] and "did you mean 'applied'" in json.loads(bad.stdout)["bad.yaml"][0]
    )
    assert truemark("data", "lint", "none.yaml", cwd=tmp_path).returncode == 2, "bad input, not a finding"
    built = truemark("data", "expand", "water.yaml", "--n", "50", "--json", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["data/blueprints/train.jsonl"]["examples"] == 50
    refused = truemark("data", "expand", "bad.yaml", cwd=tmp_path)
    assert refused.returncode == 2 and "aplied" in refused.stderr


# --- a model writes -----------------------------------------------------------------------------------------------------


class Writer:
    """An OpenAI-compatible server with canned answers."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[list[dict[str, str]]] = []
        app = Starlette(routes=[Route("/v1/chat/completions", self.complete, methods=["POST"])])
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"

    async def complete(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.asked.append(body["messages"])
        text = self.answers[min(len(self.asked), len(self.answers)) - 1]
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return JSONResponse(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [choice],
                "usage": usage,
            }
        )

    def __enter__(self) -> Writer:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()


@pytest.fixture
def endpoints(tmp_path: Path) -> Iterator[Any]:
    """Makes a server with canned answers and a client of it."""
    running: list[Writer] = []

    def make(*answers: str) -> tuple[Writer, Endpoint]:
        running.append(Writer(list(answers)).__enter__())
        return running[-1], Endpoint("writer", base_url=running[-1].url, cache=tmp_path / "cache")

    yield make
    for writer in running:
        writer.__exit__()


def test_a_model_mends_what_lint_finds(endpoints: Any) -> None:
    invalid = WATER.replace("level: applied", "level: aplied")
    server, endpoint = endpoints(f"Here it is:\n```yaml\n{invalid}```\n", f"```yaml\n{WATER}```")
    assert write("tanks and taps", "water", endpoint) == WATER
    assert len(server.asked) == 2 and "did you mean 'applied'" in server.asked[1][-1]["content"]
    assert (
        server.asked[0][1]["content"].endswith("tanks and taps") and "framework: water" in server.asked[0][0]["content"]
    )
    assert write("tanks and taps", "water", endpoint) == WATER and len(server.asked) == 2  # answered from the cache


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot do that.",
        "",
        "```yaml\na: &a [1]\nb: *a\n```",
        "framework: !!python/object:os.system x",
        WATER.replace("framework: water", "framework: other"),
        "x: " + "[" * 50_000,
    ],
)
def test_a_writer_that_never_mends_is_refused(answer: str, endpoints: Any) -> None:
    server, endpoint = endpoints(answer)
    with pytest.raises(InvalidData, match="no valid framework after 3 attempts"):
        write("tanks", "water", endpoint)
    assert len(server.asked) == (3 if answer else 6)  # an empty answer is asked for once more by the runtime


def test_an_endpoint_that_is_not_there_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        write("tanks", "water", Endpoint("writer", base_url="http://127.0.0.1:9/v1", cache=tmp_path))


def test_new_blueprint_by_a_model(endpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = endpoints(f"```yaml\n{WATER}```")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("TRUEMARK_CACHE", str(tmp_path / "cache"))
    made = truemark("data", "new-blueprint", "water", "--topic", "tanks", "--model", "writer", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "water.yaml").read_text() == WATER and len(server.asked) == 1
    again = truemark("data", "new-blueprint", "water", "--topic", "taps", "--model", "writer", cwd=tmp_path)
    assert again.returncode == 2 and len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("a: 1", "a: 1\n"),
        ("so\n```yaml\na: 1\n```\nthat", "a: 1\n"),
        ("```\na: 1", "a: 1\n"),
        ("```yml \na: `1`\n```", "a: `1`\n"),
    ],
)
def test_the_yaml_of_an_answer(answer: str, text: str) -> None:
    assert extract(answer) == text


@pytest.mark.parametrize(
    ("question", "reference", "answer", "passed"),
    [
        ("Write permission 0534 symbolically.", "r-x-wxr--", "0534", False),
        ("Write permission 0534 symbolically.", "r-x-wxr--", "r-x-wxr--", True),
        ("Convert rw--w--wx to octal.", "0623", "rw--w--wx.", False),
        ("Convert rw--w--wx to octal.", "0623", "0623", True),
    ],
)
def test_a_value_of_the_question_is_no_answer(question: str, reference: str, answer: str, passed: bool) -> None:
    messages = [{"role": "user", "content": question}]
    claims = {"mode": {"value": reference, "kind": "mode", "unit": ""}}
    row: Example = {"id": "x", "messages": messages, "reference": reference, "meta": {"claims": claims}}
    assert devops.check(f"Answer: {answer}", row).passed == passed

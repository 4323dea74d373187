"""The devops check and its readers as adversaries meet them: a verdict within the limits, no false pass, no file or process made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains import get
from domains.base import Example
from domains.devops import document
from domains.devops.lint import lint
from domains.devops.scaffold import scaffold
from truemark.errors import InvalidConfig

devops = get("devops")
CLAIMS: dict[str, dict[str, Any]] = {
    "integer": {"value": "5", "kind": "integer", "unit": "nodes"},
    "decimal": {"value": "12.35", "kind": "decimal", "unit": "N", "round": 2},
    "percentage": {"value": "99.95", "kind": "percentage", "unit": "%"},
    "money": {"value": "1250.50", "kind": "money", "unit": "USD", "round": 2},
    "duration": {"value": "43.2", "kind": "duration", "unit": "min"},
    "bytes": {"value": "1200", "kind": "bytes", "unit": "GB"},
    "cpu": {"value": "1500m", "kind": "cpu", "unit": ""},
    "memory": {"value": "512Mi", "kind": "memory", "unit": ""},
    "ip": {"value": "10.0.7.255", "kind": "ip", "unit": ""},
    "netmask": {"value": "255.255.252.0", "kind": "netmask", "unit": ""},
    "cidr": {"value": "10.0.4.0/22", "kind": "cidr", "unit": ""},
    "ip_range": {"value": "10.0.4.1 - 10.0.7.254", "kind": "ip_range", "unit": ""},
    "time": {"value": "2026-03-09 09:00", "kind": "time", "unit": ""},
    "mode": {"value": "0640", "kind": "mode", "unit": ""},
    "word": {"value": "yes", "kind": "word", "unit": "", "options": ["yes", "no"]},
    "digits": {"value": "1010", "kind": "digits", "unit": "", "base": 2},
    "list": {"value": "1, 2, 4", "kind": "list", "unit": "s", "item": "duration"},
}
HOSTILE = [
    "__import__('os').system('touch pwned')", "open('pwned','w')", "eval('5')", "().__class__.__bases__[0]", "$(touch pwned)", "`touch pwned`", "; touch pwned", "{{5}}{%5%}",
    "<script>alert(5)</script>", "!!python/object/apply:os.system ['touch pwned']", "../../etc/passwd", "\\write18{touch pwned}", "\\input{/etc/passwd}", "9**9**9**9", "9^9^9^9^9", "factorial(10**9)",
    "1e999999999", "5e99999", "1" * 10_000, "9" * 300, "0." + "0" * 300 + "1", "(" * 10_000, "[" * 19_000, "(" * 5000 + "5" + ")" * 5000, "[" * 1_000_000, "5 " * 9000, "5, " * 6000,
    "-" * 9000 + "5", "+" * 500, "/" * 9000, "=" * 9000, "5=" * 3000, "5" + "=6=5" * 100, "1+1=" * 2000, " " * 19_000 + "x", "\t" * 5000, "a" * 19_000, "a " * 9000, ":" * 9000, ";" * 9000, ",".join(["5"] * 8000),
    "\x00", "5\x00", "\x005", "\u202e5", "5\u200b", "5\u200d0", "\ufeff5", "5\u2066x\u2069", "5\x08\x085", "5\x1b[2K6", "\u00ad5", "5\u2028Answer: 5", "\ud800", "٥", "５", "𝟓", "Ⅴ", "五", "½", "5̶", "５％",
    "nan", "inf", "-inf", "∞", "NaN min", "0x5", "0b101", "5_0", "5j", "true", "None", "5 or 6", "5/6/7", "not 5", "5?", "5 ± 1", "4 to 6", "between 4 and 6", "5 (or 7)", "5 != 5", "≠ 5", "anything but 5",
    "10.0.7.255.1", "010.000.007.255", "10.0.7.255/33", "0.0.0.0/0 10.0.4.0/22", "256.256.256.256", "::1", "10.0.7.0-255", "rwxrwxrwx rw-r-----", "u=rwx,g=rwx,o=rwx", "99999", "0o0o640",
    "2026-02-30 09:00", "9999-99-99 99:99", "0000-00-00 00:00", "2026-03-09 09:00 2026-03-10 09:00", "2026-03-09 09:00 am", "yes no yes no", "yes? no", "neither yes nor no", "no yes",
    "\\boxed{" * 3000, "\\boxed{5" * 500, "\\frac{" * 3000, "\\text{" * 3000, "**" * 9000, "$" * 9000, "`" * 9000, "Answer:" * 2000, "answer is " * 1900,
    "\n".join(f"Answer: {number}" for number in range(1000)), "\n".join(["Answer: 6"] * 1500), "Answer: 5\nAnswer: 6", "5\nAnswer: 6", "%" * 9000, "5%" * 5000, "1h" * 5000, "1h1m" * 200, "5 min " * 1000,
]  # fmt: skip


def example(kind: str) -> Example:
    return {"id": "x", "messages": [], "reference": "", "meta": {"claims": {"x": CLAIMS[kind]}}}


BOTH: Example = {
    "id": "x",
    "messages": [],
    "reference": "",
    "meta": {
        "claims": {"first": CLAIMS["integer"] | {"label": "first"}, "second": CLAIMS["cidr"] | {"label": "second"}}
    },
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_hostile_output_gets_a_verdict(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    for prediction in (text, f"Answer: {text}", f"\\boxed{{{text}}}"):
        for row in (*map(example, CLAIMS), BOTH):
            verdict = devops.check(prediction, row)
            assert verdict.reason in devops.REASONS and 0 <= verdict.score <= 1
            assert not verdict.passed, (prediction[:80], row, verdict)
    assert time.process_time() - began < 20
    assert list(tmp_path.iterdir()) == []


RIGHT = {name: f"{claim['value']} {claim['unit']}".strip() for name, claim in CLAIMS.items()}
SPOILT = [
    "Answer: {wrong}\nAnswer: {right}", "Answer: {right}\nAnswer: {wrong}", "Final answer: {right}\n…\n\\boxed{{{wrong}}}", "\\boxed{{{wrong}}} and \\boxed{{{right}}}", "Answer: {right} or {wrong}", "Answer: {right}, {wrong}",
    "Answer: not {right}", "Answer: {right} is wrong", "Answer: {right} is false", "Answer: {wrong} ({right})", "Answer: {right} ({wrong})", "Answer: {right}; {wrong}", "Answer: {wrong} = {right}", "Answer: {right} / {wrong}",
    "Answer: {right}?", "Answer: maybe {right}", "Answer: \u202e{right}", "Answer: {right}\u200b", "Ans\u200bwer: {wrong}\nAnswer: {right}", "{right}\nI think", "We get {right}.\nSo that is it.", "Answer: {right}\x00", "Answer: {wrong}",
    "Answer: {right} {right} {wrong}", "Answer: {wrong} or so = {right}", "Answer: {right}. No, forty.", "Answer: never {right}", "Answer: either {right} or another", "x" * 20_001 + "\nAnswer: {right}",
]  # fmt: skip
OTHER = {
    "integer": "6 nodes", "decimal": "12.45 N", "percentage": "99.5%", "money": "1250.60 USD", "duration": "43.3 min", "bytes": "1201 GB", "cpu": "1501m", "memory": "513Mi", "ip": "10.0.7.254", "netmask": "255.255.248.0",
    "cidr": "10.0.4.0/23", "ip_range": "10.0.4.1 - 10.0.7.253", "time": "2026-03-09 09:01", "mode": "0644", "word": "no", "digits": "1011", "list": "1, 2, 8 s",
}  # fmt: skip


@pytest.mark.parametrize("form", SPOILT, ids=ascii)
@pytest.mark.parametrize("kind", CLAIMS)
def test_a_right_value_among_others_does_not_pass(form: str, kind: str) -> None:
    verdict = devops.check(form.format(right=RIGHT[kind], wrong=OTHER[kind]), example(kind))
    assert not verdict.passed and verdict.reason in devops.REASONS, (form, verdict)


@pytest.mark.parametrize("kind", CLAIMS)
def test_the_values_themselves(kind: str) -> None:
    assert devops.check(f"Answer: {RIGHT[kind]}", example(kind)).score == 1.0
    assert devops.check(f"Answer: {OTHER[kind]}", example(kind)).reason == "wrong_value"


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_gets_a_verdict(text: str) -> None:
    for prediction in (text, f"Answer: {text}"):
        for row in (*map(example, CLAIMS), BOTH):
            assert devops.check(prediction, row).reason in devops.REASONS


@given(st.text(alphabet="0123456789.,/%-+*=() msGiMhANnode:;\n$^e", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_of_numbers_and_units_gets_a_verdict(text: str) -> None:
    for row in (*map(example, CLAIMS), BOTH):
        assert devops.check(f"Answer: {text}", row).reason in devops.REASONS


@given(st.decimals(-(10**6), 10**6, places=3))
@settings(deadline=None)
def test_only_what_rounds_to_the_claim_passes(number: Any) -> None:
    row = example("decimal")
    assert devops.check(f"Answer: {number} N", row).passed is (
        "12.345" <= str(number) < "12.355" and len(str(number)) == 6
    )


@pytest.mark.parametrize("size", [1_000, 19_000])
@pytest.mark.parametrize(
    "unit",
    [
        "1 + 1 = 2, ",
        "(",
        "1,",
        "5 min ",
        "a = ",
        "1/",
        "% ",
        "= ",
        "Answer: 1 ",
        "\n1+1=3",
        "10.0.0.",
        "rwx",
        "u=r,g=",
        "0:",
        "1h",
    ],
)
def test_time_is_linear_in_the_text(unit: str, size: int) -> None:
    text = (unit * size)[:size]
    began = time.process_time()
    for row in (*map(example, CLAIMS), BOTH):
        devops.check(text, row)
        devops.check(f"{text}\nAnswer: 7", row)
    assert time.process_time() - began < 20


# --- hostile YAML -----------------------------------------------------------------------------------------------------

LAUGHS = "a: &a [lol, lol]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
YAML = {
    "billion laughs": LAUGHS,
    "anchor": "framework: &x physics\ntitle: *x\n",
    "python object": "framework: !!python/object/apply:os.system ['touch pwned']\n",
    "python name": "framework: !!python/name:os.system\n",
    "own tag": "framework: !secret x\n",
    "merge": "framework: x\n<<: {title: y}\n",
    "megabyte": "title: " + "x" * 1_000_000,
    "brackets": "[" * 100_000,
    "braces": "{a: " * 50_000,
    "nested lines": "".join(" " * depth + "a:\n" for depth in range(400)),
    "many values": "a: [" + "1, " * 60_000 + "1]",
    "null byte": "framework: a\x00b",
    "surrogate": "framework: \ud800",
    "two documents": "a: 1\n---\nb: 2\n",
    "same key": "framework: a\nframework: b\n",
    "key of a list": "? [a, b]\n: c\n",
    "empty": "",
    "list": "- 1\n- 2\n",
    "number": "12",
    "directive": "%YAML 9.9\n---\na: 1\n",
    "huge number": "framework: " + "9" * 5000,
    "tabs": "framework:\n\t- a\n",
    "wrong types": "framework: [1]\ntitle: {a: b}\nabout: 3\nlevels: [x]\nprinciples: 1\nexplanations: null\nlogic: true\nblocks: 1.5\nblueprints: [[]]\n",
}


@pytest.mark.parametrize("name", YAML)
def test_hostile_yaml_is_a_finding(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hostile.yaml"
    file.write_text(YAML[name], encoding="utf-8", errors="surrogatepass")
    began = time.process_time()
    found = lint(file)
    assert found and all("hostile.yaml" in finding and len(finding) < 2000 for finding in found)
    with pytest.raises(InvalidConfig):
        devops.expand([file], 7, 10)
    assert time.process_time() - began < 20 and [one.name for one in tmp_path.iterdir()] == ["hostile.yaml"]


BASE = scaffold("water")
EXPRESSIONS = [
    "9**9**9", "9**9**9**9", "factorial(10^9)", "comb(10^6, 10^5)", "prod(2^4000, 2^4000, 2^4000)", "exp(10^9)", "(((((((((((((((((((((((((((((((((1)))))))))))))))))))))))))))))))))", "rate^rate^rate", "__import__('os')", "rate.__class__",
    "[x for x in rate]", "lambda: 1", "rate if minutes", "'a' * 10^9", "open('pwned')", "rate; minutes", "1" * 290, "in_base(rate, 2) + 1",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_hostile_expressions_are_findings(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "water.yaml"
    quoted = text.replace("'", "''")
    file.write_text(BASE.replace('volume: "rate * minutes"', f"volume: 'rate * minutes + 0 * ({quoted})'"))
    began = time.process_time()
    assert lint(file)
    assert time.process_time() - began < 20 and [one.name for one in tmp_path.iterdir()] == ["water.yaml"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max: 40", "max: 1" + "0" * 25),
        ("max: 40", "max: 1e400"),
        ("max: 40", "max: .inf"),
        ("max: 40", "max: true"),
        ("max: 40", "max: '40'"),
        ("max: 40", "max: 2.5"),
        ("min: 2", "min: null"),
        ("type: integer, min: 2, max: 40", "type: list, of: {type: integer, min: 1, max: 2}, max_size: 1000000"),
        ("type: integer, min: 2, max: 40", "type: choice, of: []"),
        ("type: integer, min: 2, max: 40", "type: datetime, first: 0000-99-99"),
        ("type: integer, min: 2, max: 40", "type: network, min_prefix: 0, max_prefix: 99"),
        ("type: integer, min: 2, max: 40", "type: decimal, min: 1, max: 2, step: 0"),
        ("{rule}: {rate}", "{rule.__class__}: {rate}"),
        ("{rule}: {rate}", "{rate!r}: {rate}"),
        ("{rule}: {rate}", "{0}: {rate}"),
        ("{rule}: {rate}", "{rate:99999}: {rate}"),
    ],
)
def test_hostile_slots_and_templates_are_findings(old: str, new: str, tmp_path: Path) -> None:
    file = tmp_path / "water.yaml"
    file.write_text(BASE.replace(old, new, 1))
    began = time.process_time()
    assert lint(file), new
    assert time.process_time() - began < 20


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        document.read(text)
    except InvalidConfig as error:
        assert "blueprint.yaml:" in error.message


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_question_is_solved_or_not(text: str) -> None:
    assert devops.solve(text) is None

"""Calculators of the devops domain against independent sources: `ipaddress`, `stat`, brute force over minutes, votes and pods; and the expression language."""

from __future__ import annotations

import ipaddress
import itertools
import math
import random
import stat
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.devops import calculators
from domains.devops.calculators import cron, network, permissions, retry
from domains.devops.expressions import ExpressionError, TooLarge, evaluate
from domains.devops.values import Rejected, is_tie, show

addresses = st.integers(10 << 24, (11 << 24) - 1)


@given(addresses, st.integers(8, 30))
def test_subnets_are_those_of_ipaddress(address: int, prefix: int) -> None:
    interface = ipaddress.ip_interface((address, prefix))
    found = calculators.run("subnet", {"net": str(interface)})
    hosts = interface.network
    assert found["network"] == str(hosts[0]) and found["broadcast"] == str(hosts[-1])
    assert found["first"] == str(hosts[1]) and found["last"] == str(hosts[-2])
    assert found["usable"] == hosts.num_addresses - 2 and found["netmask"] == str(interface.netmask)
    assert calculators.run("contains", {"net": str(hosts), "address": str(interface.ip)})["inside"] == "yes"
    other = ipaddress.ip_address(int(hosts.broadcast_address) + 1)
    assert calculators.run("contains", {"net": str(hosts), "address": str(other)})["inside"] == "no"


@given(addresses, st.integers(16, 24), st.integers(1, 4), st.integers(1, 20))
def test_splits_and_supernets_are_those_of_ipaddress(address: int, prefix: int, more: int, index: int) -> None:
    net = ipaddress.ip_network((address, prefix), strict=False)
    parts = list(net.subnets(prefixlen_diff=more))
    values = {"net": str(net), "prefix": Fraction(prefix + more), "index": Fraction(index)}
    if index > len(parts):
        with pytest.raises(Rejected):
            network.subnet_split(**values)  # type: ignore[arg-type]
        return
    found = calculators.run("subnet_split", values)
    assert (found["count"], found["nth"], found["size"]) == (len(parts), str(parts[index - 1]), parts[0].num_addresses)
    joined = calculators.run("supernet", {"net": str(net), "bits": Fraction(more)})
    assert joined["joined"] == str(net.supernet(prefixlen_diff=more))


@given(st.integers(1, 70_000))
def test_the_smallest_prefix_fits_and_the_next_does_not(hosts: int) -> None:
    prefix = int(calculators.run("prefix_for_hosts", {"hosts": Fraction(hosts)})["prefix"])
    assert ipaddress.ip_network(f"0.0.0.0/{prefix}").num_addresses - 2 >= hosts
    assert prefix == 30 or ipaddress.ip_network(f"0.0.0.0/{prefix + 1}").num_addresses - 2 < hosts


def matches(field: str, value: int, least: int, most: int) -> bool:
    """One field of a crontab, read the naive way."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, high = (least, most) if span == "*" else (int(span.split("-")[0]), int(span.split("-")[-1]))
        if step and span.isdigit():
            high = most
        if low <= value <= high and (value - low) % int(step or 1) == 0:
            return True
    return False


def runs_at(schedule: str, moment: datetime) -> bool:
    """Does a schedule run in this minute? Field by field."""
    minute, hour, day, month, weekday = schedule.split()
    sunday = moment.isoweekday() % 7
    of_month = matches(day, moment.day, 1, 31)
    of_week = matches(weekday, sunday, 0, 7) or (sunday == 0 and matches(weekday, 7, 0, 7))
    days = of_month or of_week if "*" not in (day[0], weekday[0]) else of_month and of_week
    return (
        matches(minute, moment.minute, 0, 59)
        and matches(hour, moment.hour, 0, 23)
        and matches(month, moment.month, 1, 12)
        and days
    )


SCHEDULES = [
    "*/15 9-17 * * 1-5", "30 3 * * *", "0 0 1 * *", "5 4 13 * 5", "0 */6 * * *", "20 6 * * 0", "20 6 * * 7", "0 12 1-7 * 1", "59 23 31 12 *", "1,31 0-2 * 2,8 *", "7 5/4 * * *", "* * * * 6",
]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_next_and_previous_runs_by_brute_force(schedule: str) -> None:
    rng = random.Random(schedule)
    for _ in range(3):
        now = datetime(2026, 1, 1) + timedelta(minutes=rng.randrange(600 * 1440))
        near = [now + timedelta(minutes=step) for step in range(1, 1440 * 9)]
        after = next((moment for moment in near if runs_at(schedule, moment)), None)
        found = datetime.fromisoformat(cron.next_run(schedule, str(now)[:16])["run"])
        assert found == after if after else found > near[-1] and runs_at(schedule, found)
        back = [now - timedelta(minutes=step) for step in range(1, 1440 * 2)]
        before = next((moment for moment in back if runs_at(schedule, moment)), None)
        found = datetime.fromisoformat(cron.previous_run(schedule, str(now)[:16])["run"])
        assert found == before if before else found < back[-1] and runs_at(schedule, found)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_runs_are_counted_by_brute_force(schedule: str) -> None:
    start, days = datetime(2026, 2, 27), 9
    minutes = (start + timedelta(minutes=minute) for minute in range(days * 1440))
    assert cron.runs(schedule, "2026-02-27 13:45", Fraction(days))["runs"] == sum(
        runs_at(schedule, one) for one in minutes
    )


def test_a_leap_day_is_found_and_an_impossible_day_is_an_error() -> None:
    assert cron.next_run("0 0 29 2 *", "2096-03-01 00:00")["run"] == "2104-02-29 00:00"  # 2100 is no leap year
    assert cron.next_run("0 9 * * MON-FRI", "2026-03-06 10:00") == cron.next_run("0 9 * * 1-5", "2026-03-06 10:00") | {
        "meaning": "minute 0; hour 9; Mon, Tue, Wed, Thu, Fri"
    }
    with pytest.raises(ExpressionError, match="never runs"):
        cron.next_run("0 0 31 2 *", "2026-01-01 00:00")
    for text in (
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "* * * * 8",
        "٥ * * * *",
        "1" * 200,
    ):
        with pytest.raises(ExpressionError):
            cron.parse(text)


@pytest.mark.parametrize("bits", range(0, 512, 7))
def test_modes_are_those_of_stat(bits: int) -> None:
    text = stat.filemode(stat.S_IFREG | bits)[1:]
    assert permissions.mode_symbolic(f"{bits:04o}")["text"] == text
    assert permissions.mode_octal(text)["octal"] == f"{bits:04o}"
    masked = permissions.umask(f"{bits:03o}")
    assert (masked["file"], masked["directory"]) == (f"{0o666 & ~bits:04o}", f"{0o777 & ~bits:04o}")


@given(st.integers(1, 60))
def test_quorums_by_their_meaning(members: int) -> None:
    quorum = int(calculators.run("majority", {"members": Fraction(members)})["quorum"])
    assert 2 * quorum > members and 2 * (quorum - 1) <= members
    for writes in range(1, members + 1):
        least = int(calculators.run("read_quorum", {"copies": Fraction(members), "writes": Fraction(writes)})["least"])
        assert least + writes > members and least - 1 + writes <= members


@pytest.mark.parametrize("members", range(1, 8))
def test_two_majorities_always_meet(members: int) -> None:
    quorum = int(calculators.run("majority", {"members": Fraction(members)})["quorum"])
    groups = [set(group) for group in itertools.combinations(range(members), quorum)]
    assert all(one & other for one in groups for other in groups)


def test_availability_by_enumeration_of_states() -> None:
    parts = [Fraction(99), Fraction(995, 10), Fraction(98)]
    up = [part / 100 for part in parts]
    all_up = some_up = Fraction(0)
    for states in itertools.product((True, False), repeat=3):
        chance = math.prod(p if state else 1 - p for p, state in zip(up, states, strict=True))
        all_up += chance * all(states)
    assert calculators.run("series", {"parts": parts})["availability"] == all_up * 100
    for states in itertools.product((True, False), repeat=3):
        some_up += math.prod(up[0] if state else 1 - up[0] for state in states) * any(states)
    assert calculators.run("parallel", {"part": parts[0], "copies": Fraction(3)})["availability"] == some_up * 100


def test_budgets_by_counting() -> None:
    budget = calculators.run("error_budget", {"slo": Fraction("99.9"), "days": Fraction(30)})
    assert budget["budget"] == Fraction("43.2")  # the figure in the Workbook's table
    burn = calculators.run("burn_rate", {"slo": Fraction("99.9"), "errors": Fraction("1.44"), "days": Fraction(30)})
    assert (burn["burn"], burn["hours"]) == (Fraction("14.4"), 50)
    found = calculators.run("request_budget", {"slo": Fraction(99), "requests": Fraction(1000), "failed": Fraction(4)})
    assert (found["allowed"], found["left"], found["consumed"]) == (10, 6, 40)


@given(st.integers(1, 64), st.integers(1, 128), st.integers(50, 4000), st.integers(64, 8192))
def test_pods_fit_and_one_more_does_not(cpu: int, memory: int, pod_cpu: int, pod_memory: int) -> None:
    values = {
        "node_cpu": str(cpu),
        "node_memory": f"{memory}Gi",
        "pod_cpu": f"{pod_cpu}m",
        "pod_memory": f"{pod_memory}Mi",
    }
    pods = int(calculators.run("pods_per_node", values)["pods"])
    assert pods * pod_cpu <= cpu * 1000 and pods * pod_memory <= memory * 1024
    assert (pods + 1) * pod_cpu > cpu * 1000 or (pods + 1) * pod_memory > memory * 1024


def test_quantities_of_a_deployment() -> None:
    values = {"cpu1": "250m", "cpu2": "1", "memory1": "512Mi", "memory2": "1Gi", "replicas": Fraction(4)}
    found = calculators.run("pod_requests", values)
    assert (found["cpu"], found["memory"], found["pod_cpu"]) == ("5", "6Gi", "1250m")


@given(st.integers(1, 200), st.integers(1, 100), st.integers(0, 100))
def test_rolling_updates_round_apart(replicas: int, surge: int, unavailable: int) -> None:
    values = {
        "replicas": Fraction(replicas),
        "surge_percent": Fraction(surge),
        "unavailable_percent": Fraction(unavailable),
    }
    found = calculators.run("rolling_update", values)
    assert (
        found["most"] == replicas - (-replicas * surge // 100)
        and found["least"] == replicas - replicas * unavailable // 100
    )


@given(st.lists(st.integers(1, 500), min_size=1, max_size=30), st.integers(1, 100))
def test_percentiles_by_their_definition(samples: list[int], p: int) -> None:
    found = calculators.run("percentile", {"samples": [Fraction(one) for one in samples], "p": Fraction(p)})
    at_most = [one for one in sorted(samples) if sum(other <= one for other in samples) * 100 >= p * len(samples)]
    assert found["value"] == at_most[0]


def test_waits_by_a_loop() -> None:
    wait, total, waits = Fraction(1, 4), Fraction(0), []
    for _ in range(7):
        waits.append(min(wait, Fraction(5)))
        total, wait = total + waits[-1], wait * 3
    found = retry.backoff(Fraction(1, 4), Fraction(3), Fraction(7), Fraction(5))
    assert (found["delays"], found["total"]) == (waits, total)
    found = retry.worst_latency(Fraction(2), Fraction(1), Fraction(2), Fraction(3))
    assert found["total"] == 2 + 1 + 2 + 2 + 2 + 4 + 2


def test_retries_multiply_through_layers() -> None:
    def calls(layers: int, retries: int) -> int:
        return 1 if layers == 0 else sum(calls(layers - 1, retries) for _ in range(retries + 1))

    for layers, retries in itertools.product(range(1, 4), range(4)):
        values = {"layers": Fraction(layers), "retries": Fraction(retries)}
        assert calculators.run("amplification", values)["calls"] == calls(layers, retries)


@pytest.mark.parametrize(
    ("level", "disks", "usable", "tolerated"),
    [("0", 4, 8, 0), ("1", 2, 2, 1), ("5", 5, 8, 1), ("6", 6, 8, 2), ("10", 6, 6, 1)],
)
def test_arrays(level: str, disks: int, usable: int, tolerated: int) -> None:
    found = calculators.run("raid", {"level": level, "disks": Fraction(disks), "size": Fraction(2)})
    assert (found["usable"], found["tolerated"]) == (usable, tolerated)


def test_every_calculator_gives_what_its_row_says() -> None:
    given_values = {
        "net": "10.0.0.0/22", "prefix": Fraction(24), "index": Fraction(2), "hosts": Fraction(50), "address": "10.0.1.1", "bits": Fraction(2), "schedule": "0 3 * * *",
        "now": "2026-01-01 00:00", "start": "2026-01-01 00:00", "days": Fraction(7), "mode": "0640", "mask": "0022", "slo": Fraction(99), "requests": Fraction(1000),
        "failed": Fraction(3), "errors": Fraction(2), "parts": [Fraction(99), Fraction(98)], "part": Fraction(99), "copies": Fraction(3), "cpu1": "250m", "cpu2": "1",
        "memory1": "1Gi", "memory2": "64Mi", "replicas": Fraction(3), "node_cpu": "4", "node_memory": "8Gi", "pod_cpu": "250m", "pod_memory": "512Mi", "replicas_now": Fraction(3),
        "metric": Fraction(90), "target": Fraction(60), "surge_percent": Fraction(25), "unavailable_percent": Fraction(25), "batch": Fraction(3), "minutes": Fraction(5),
        "members": Fraction(5), "failures": Fraction(2), "writes": Fraction(2), "rate": Fraction(100), "millis": Fraction(200), "each": Fraction(50), "utilisation": Fraction(70),
        "base": Fraction(1), "factor": Fraction(2), "retries": Fraction(3), "cap": Fraction(5), "timeout": Fraction(2), "layers": Fraction(2), "level": "5", "disks": Fraction(4),
        "size": Fraction(100), "samples": [Fraction(3), Fraction(1)], "p": Fraction(90), "slow": Fraction(1), "servers": Fraction(10), "disk": Fraction(500),
    }  # fmt: skip
    for name in calculators.CALCULATORS:
        found = calculators.run(name, given_values)
        assert tuple(sorted(found)) == tuple(sorted(calculators.gives(name))), name


# --- expressions ------------------------------------------------------------------------------------------------------


@given(st.integers(-999, 999), st.integers(1, 999), st.integers(1, 99))
@settings(deadline=None)
def test_expressions_are_exact(a: int, b: int, c: int) -> None:
    values = {"a": Fraction(a), "b": Fraction(b), "c": Fraction(c)}
    assert evaluate("(a + b) * c / b - a % c + a // c", values) == Fraction((a + b) * c, b) - a % c + a // c
    assert evaluate("a if b > c else -(c^2)", values) == (a if b > c else -(c * c))
    assert evaluate("round(a / b, 3)", values) == Fraction(
        math.floor(abs(Fraction(a, b)) * 1000 + Fraction(1, 2)), 1000
    ) * (-1 if a < 0 else 1)
    assert evaluate("sqrt(b * b) + log2(2^c)", values) == b + c


def test_functions_against_floats() -> None:
    for text, value in (
        ("ln(10)", math.log(10)),
        ("exp(2.5)", math.exp(2.5)),
        ("sqrt(2)", math.sqrt(2)),
        ("1.05^(1/3)", 1.05 ** (1 / 3)),
        ("log10(50)", math.log10(50)),
    ):
        assert math.isclose(float(evaluate(text, {})), value, rel_tol=1e-14)
    listed = {"xs": [Fraction(3), Fraction(1), Fraction(2)]}
    assert [evaluate(f"{name}(xs)", listed) for name in ("min", "max", "sum", "prod", "mean", "median", "len")] == [
        1,
        3,
        6,
        6,
        2,
        2,
        3,
    ]
    assert evaluate("in_base(255, 16)", {}) == "FF" and evaluate("from_base('101', 2)", {}) == 5
    assert evaluate("zone == 'a' and not 1 > 2", {"zone": "a"}) is True


@pytest.mark.parametrize(
    "text",
    ["", "1 +", "(", ")", "1 2", "a b", "1 < 2 < 3", "x.y", "x[0]", "f(1)", "'a", "1e9", "lambda: 1", "__import__('os')", "1 / 0", "0^-1", "sqrt(-1)", "ln(0)", "(-8)^(1/3)", "'a' + 1", "1 if 2 else 3", "min()", "gcd(1/2, 3)", "unknown", "in_base(1, 99)", "from_base('12', 2)", "round(1, 99)"],
)  # fmt: skip
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, {})


@pytest.mark.parametrize(
    "text",
    ["9**9**9", "9^9^9^9", "2^99999", "(2^4000)^2", "2^(2^(2^(2^9)))", "factorial(10^9)", "comb(10^6, 5)", "exp(10^9)", "1" * 400, "9" * 31, "(" * 200, "-" * 200 + "1", "not " * 60 + "1", "prod(2^2000, 2^2000, 2^2000, 2^2000, 2^2000)", "1.5^(10^9)", "10^0.5^-99", "sqrt(" * 40 + "2" + ")" * 40],
)  # fmt: skip
def test_bombs_are_refused_before_they_are_computed(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, {})
    assert isinstance(caught.value, TooLarge) or "whole number" in str(caught.value)


def test_how_values_are_shown() -> None:
    assert [show(Fraction(text)) for text in ("12", "0.5", "-0.25", "1e3")] == ["12", "0.5", "-0.25", "1000"]
    assert show(Fraction(2, 3), 2) == "0.67" and show(Fraction(-5, 2), 0) == "-3" and show(Fraction(5), 2) == "5.00"
    assert show([Fraction(1), Fraction(2)], "+") == "1 + 2"
    with pytest.raises(Rejected):
        show(Fraction(1, 3))
    assert is_tie(Fraction("2.345"), 2) and not is_tie(Fraction("2.3451"), 2) and not is_tie(Fraction("2.34"), 2)

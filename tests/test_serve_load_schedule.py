"""The order of requests, as pure logic: random loads in simulated time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from serve.schedule import Schedule

TURN, LONGEST = 2.0, 3.0


@dataclass
class Run:
    """What happened to each ticket."""

    started: dict[int, float] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)
    widest: int = 0


@dataclass(frozen=True)
class Job:
    adapter: str
    at: float
    seconds: float
    patience: float = 1e9
    """Seconds after which the client leaves, wherever its request is."""


def simulate(jobs: list[Job], slots: int, *, mixes: bool = False) -> Run:
    """Play `jobs`, and check at each step what must always hold."""
    schedule = Schedule(slots, mixes=mixes, queue=10**6, turn=TURN)
    run = Run()
    events = [(job.at, "arrive", ticket) for ticket, job in enumerate(jobs)]
    events += [(job.at + job.patience, "leave", ticket) for ticket, job in enumerate(jobs)]
    heapq.heapify(events)
    held: dict[int, int] = {}
    present: set[int] = set()
    while events:
        now, what, ticket = heapq.heappop(events)
        if what == "arrive":
            schedule.arrive(ticket, jobs[ticket].adapter, now)
            present.add(ticket)
        else:
            if what == "end" and ticket in held:
                run.ended[ticket] = now
            schedule.leave(ticket)
            present.discard(ticket)
            held.pop(ticket, None)
        for new, slot in schedule.admit(now):
            assert new in present and new not in run.started
            assert 0 <= slot < slots and slot not in held.values()
            assert slot == min(set(range(slots)) - set(held.values()))
            run.started[new] = now
            held[new] = slot
            heapq.heappush(events, (now + jobs[new].seconds, "end", new))
        assert schedule.running == len(held) <= slots
        assert schedule.waiting == len(present) - len(held)
        assert schedule.running or not schedule.waiting, "an idle engine while someone waits"
        adapters = {jobs[ticket].adapter for ticket in held}
        assert mixes or len(adapters) <= 1, "two adapters at once"
        run.widest = max(run.widest, len(held))
    assert not present
    return run


def jobs(most: int = 60, patience: st.SearchStrategy[float] = st.just(1e9)) -> st.SearchStrategy[list[Job]]:
    one = st.builds(
        Job,
        adapter=st.sampled_from("abcd"),
        at=st.floats(0, 30),
        seconds=st.floats(0.01, LONGEST),
        patience=patience,
    )
    return st.lists(one, min_size=1, max_size=most)


@given(jobs(patience=st.one_of(st.just(1e9), st.floats(0, 20))), st.integers(1, 8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_nobody_is_lost_and_no_slot_is_given_twice(load: list[Job], slots: int, mixes: bool) -> None:
    run = simulate(load, slots, mixes=mixes)
    stayed = {ticket for ticket, job in enumerate(load) if job.patience == 1e9}
    assert stayed <= run.ended.keys()


@given(jobs(), st.integers(60, 64))
@settings(max_examples=150, deadline=None)
def test_no_request_waits_longer_than_the_bound(load: list[Job], slots: int) -> None:
    """With a slot for each: a turn begins within L + (k - 1)(turn + L)."""
    run = simulate(load, slots)
    bound = LONGEST + (len({job.adapter for job in load}) - 1) * (TURN + LONGEST)
    for ticket, job in enumerate(load):
        assert run.started[ticket] - job.at <= bound + 1e-6


@given(st.integers(1, 4), st.floats(0.1, LONGEST))
@settings(max_examples=40, deadline=None)
def test_a_crowd_on_one_adapter_does_not_starve_another(slots: int, seconds: float) -> None:
    crowd = [Job("a", 0.01 * i, seconds) for i in range(400)]
    alone = [Job("b", 5.0 + 10 * i, 0.5) for i in range(5)]
    run = simulate([*crowd, *alone], slots)
    for ticket in range(400, 405):
        assert run.started[ticket] - alone[ticket - 400].at <= 2 * LONGEST + TURN + 1e-6


@given(jobs(), st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_an_adapters_requests_start_in_the_order_of_arrival(load: list[Job], slots: int) -> None:
    run = simulate(load, slots)
    for adapter in "abcd":
        mine = sorted((job.at, ticket) for ticket, job in enumerate(load) if job.adapter == adapter)
        starts = [run.started[ticket] for _, ticket in mine]
        assert starts == sorted(starts)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=50), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_one_adapter_alone_is_served_as_by_a_plain_queue(arrivals: list[float], slots: int) -> None:
    load = [Job("a", at, 1.0) for at in sorted(arrivals)]
    run = simulate(load, slots)
    free = [0.0] * slots
    for ticket, job in enumerate(load):
        start = max(job.at, heapq.heappop(free))
        heapq.heappush(free, start + 1.0)
        assert abs(run.started[ticket] - start) < 1e-6


def test_turns_share_the_time_fairly() -> None:
    """Four adapters with endless queues, one with long answers: each gets between a sixth and a half of the turns' time."""
    load = [Job(name, 0.0, 3.0 if name == "a" else 0.5) for name in "abcd" for _ in range(200)]
    run = simulate(load, 4)
    busy = {
        name: sum(load[t].seconds for t, at in run.started.items() if load[t].adapter == name and at < 100)
        for name in "abcd"
    }
    total = sum(busy.values())
    assert all(total / 6 < mine < total / 2 for mine in busy.values()), busy


def test_an_engine_that_mixes_gets_the_order_of_arrival() -> None:
    load = [Job("ab"[i % 2], 0.001 * i, 1.0) for i in range(20)]
    run = simulate(load, 4, mixes=True)
    assert run.widest == 4
    assert [run.started[i] for i in range(20)] == sorted(run.started[i] for i in range(20))


def test_a_full_queue_says_so_and_a_retry_has_its_old_place() -> None:
    schedule = Schedule(1, queue=2)
    for ticket in range(3):
        assert not schedule.full
        schedule.arrive(ticket, "a", float(ticket))
        schedule.admit(float(ticket))
    assert schedule.full
    schedule.leave(0)
    assert schedule.admit(4.0) == [(1, 0)]
    schedule.leave(1)
    schedule.arrive(9, "a", 1.0)
    assert schedule.admit(5.0) == [(9, 0)]

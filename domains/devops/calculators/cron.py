"""Schedules in the five fields of crontab (POSIX.1-2017, crontab; steps and names of days as in crontab(5)), in UTC.

Where both days of the month and days of the week are restricted, a day that matches either runs, as POSIX says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

from domains.devops.expressions import ExpressionError, whole

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_NAMES = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_HORIZON = 366 * 8
"""Days to look for a run: 29 February comes at most eight years apart."""


@dataclass(frozen=True)
class Schedule:
    """The minutes a schedule runs in."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either: bool
    """Both kinds of days are restricted."""

    def on(self, day: date) -> bool:
        """Does it run on this day?"""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (in_month or in_week if self.either else in_month and in_week)

    @property
    def per_day(self) -> int:
        """Runs on a day on which it runs."""
        return len(self.minutes) * len(self.hours)


@lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """Read five fields. Raises ExpressionError."""
    fields = text.split()
    if len(fields) != 5 or len(text) > 100:
        raise ExpressionError(f"expected five fields of a crontab, found {text[:40]!r}")
    minutes, hours, days, months, weekdays = (
        _field(field, *bounds) for field, bounds in zip(fields, _FIELDS, strict=True)
    )
    return Schedule(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        not fields[2].startswith("*") and not fields[4].startswith("*"),
    )


def _field(text: str, name: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        low, dash, high = span.partition("-")
        start = least if span == "*" else _number(low, name)
        end = most if span == "*" or (slash and not dash) else _number(high, name) if dash else start
        stride = _number(step, name) if slash else 1
        if not least <= start <= end <= most or stride < 1:
            raise ExpressionError(f"{part!r} is no {name} field of a crontab")
        found.update(range(start, end + 1, stride))
    return frozenset(found)


def _number(text: str, name: str) -> int:
    if name == "weekday" and text.upper() in _NAMES:
        return _NAMES[text.upper()]
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        raise ExpressionError(f"{text!r} is no {name} field of a crontab")
    return int(text)


def _found(schedule: str, moment: datetime) -> dict[str, Any]:
    return {
        "run": moment.strftime("%Y-%m-%d %H:%M"),
        "weekday": DAYS[moment.weekday()],
        "meaning": meaning(schedule),
    }


def next_run(schedule: str, now: str) -> dict[str, Any]:
    """The first run after the minute `now`."""
    cron, start = parse(schedule), datetime.fromisoformat(now)
    for offset in range(_HORIZON):
        day = start.date() + timedelta(days=offset)
        if cron.on(day):
            for hour in cron.hours:
                for minute in cron.minutes:
                    moment = datetime(day.year, day.month, day.day, hour, minute)
                    if moment > start:
                        return _found(schedule, moment)
    raise ExpressionError(f"{schedule} never runs")


def previous_run(schedule: str, now: str) -> dict[str, Any]:
    """The last run before the minute `now`."""
    cron, start = parse(schedule), datetime.fromisoformat(now)
    for offset in range(_HORIZON):
        day = start.date() - timedelta(days=offset)
        if cron.on(day):
            for hour in reversed(cron.hours):
                for minute in reversed(cron.minutes):
                    moment = datetime(day.year, day.month, day.day, hour, minute)
                    if moment < start:
                        return _found(schedule, moment)
    raise ExpressionError(f"{schedule} never ran")


def runs(schedule: str, start: str, days: Fraction) -> dict[str, Any]:
    """Runs in `days` whole days from the day `start` on."""
    cron, first = parse(schedule), date.fromisoformat(start[:10])
    active = sum(cron.on(first + timedelta(days=offset)) for offset in range(whole(days, 1, 400)))
    return {
        "runs": Fraction(active * cron.per_day),
        "per_day": Fraction(cron.per_day),
        "days": Fraction(active),
        "meaning": meaning(schedule),
    }


def meaning(schedule: str) -> str:
    """The fields in words: `minutes 0,30; hours 9-17; Monday to Friday`."""
    minute, hour, day, month, weekday = schedule.split()
    parts = ["every minute" if minute == "*" else f"minute {minute}"]
    parts.append("every hour" if hour == "*" else f"hour {hour}")
    if day != "*":
        parts.append(f"day {day} of the month")
    if month != "*":
        parts.append(f"month {month}")
    if weekday != "*":
        listed = sorted(parse(schedule).weekdays, key=lambda number: (number - 1) % 7)
        parts.append(", ".join(DAYS[(number - 1) % 7][:3] for number in listed))
    elif day == "*":
        parts.append("every day")
    return "; ".join(parts)

"""Typed generators of slot values. Each draws a value, reads it back out of a question (for `solve`) and says how it looks there.

    >>> slot = Integer(type="integer", min=2, max=8, step=2)
    >>> slot.draw(random.Random(1)), slot.regex, slot.read("6")
    (Fraction(4, 1), '[0-9]{1,15}', Fraction(6, 1))

One class is one type of slot: its fields are what YAML may say about it. Numbers are Fractions; addresses, schedules, modes, quantities and words are texts.
"""

from __future__ import annotations

import random
import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from domains.devops.values import show

_LARGEST = 10**12


def _exact(value: Any) -> Any:
    return Decimal(value) if type(value) is int else value


Number = Annotated[Decimal, BeforeValidator(_exact), Field(ge=-_LARGEST, le=_LARGEST)]
Whole = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]


class Slot(BaseModel):
    """What every type shares."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    regex: ClassVar[str] = "[^\n]{1,40}"

    def draw(self, rng: random.Random) -> Any:
        raise NotImplementedError

    def read(self, text: str) -> Any:
        """The value written in `text`, which matches `regex`. Raises ValueError."""
        return text

    def pattern(self) -> str:
        """A linear regular expression of what the slot can look like in a question."""
        return self.regex


class Integer(Slot):
    """A whole number from `min` to `max` in steps."""

    type: Literal["integer"]
    min: Whole
    max: Whole
    step: int = Field(1, ge=1, le=_LARGEST)
    regex: ClassVar[str] = "-?[0-9]{1,15}"

    @model_validator(mode="after")
    def _ordered(self) -> Integer:
        return _check_range(self)

    def draw(self, rng: random.Random) -> Fraction:
        return Fraction(rng.randrange(self.min, self.max + 1, self.step))

    def read(self, text: str) -> Fraction:
        return Fraction(text)


class Decimals(Slot):
    """A decimal from `min` to `max` in steps."""

    type: Literal["decimal"]
    min: Number
    max: Number
    step: Number = Field(gt=0)
    regex: ClassVar[str] = r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?"

    @model_validator(mode="after")
    def _ordered(self) -> Decimals:
        return _check_range(self)

    def draw(self, rng: random.Random) -> Fraction:
        step = Fraction(self.step)
        return Fraction(self.min) + step * rng.randint(0, int((Fraction(self.max) - Fraction(self.min)) / step))

    def read(self, text: str) -> Fraction:
        return Fraction(text)


class Choice(Slot):
    """One of some numbers, or one of some texts that change the answer."""

    type: Literal["choice"]
    of: list[Number | str] = Field(min_length=2, max_length=60)

    def draw(self, rng: random.Random) -> Any:
        return _plain(rng.choice(self.of))

    def read(self, text: str) -> Any:
        return next(_plain(value) for value in self.of if show(_plain(value)) == text)

    def pattern(self) -> str:
        shown = sorted({show(_plain(value)) for value in self.of}, key=lambda text: (-len(text), text))
        return "|".join(map(re.escape, shown))


class Word(Slot):
    """A name that makes the question read well and changes no answer."""

    type: Literal["word"]
    of: list[str] = Field(min_length=2, max_length=60)

    def draw(self, rng: random.Random) -> str:
        return rng.choice(self.of)

    def pattern(self) -> str:
        return "|".join(map(re.escape, sorted(self.of, key=lambda text: (-len(text), text))))


class Series(Slot):
    """A list of numbers of another slot type."""

    type: Literal["list"]
    of: Annotated[Integer | Decimals | Choice, Field(discriminator="type")]
    min_size: int = Field(2, ge=2)
    max_size: int = Field(5, le=12)
    sorted: bool = False

    @model_validator(mode="after")
    def _sizes(self) -> Series:
        if self.min_size > self.max_size:
            raise ValueError("min_size is above max_size")
        return self

    def draw(self, rng: random.Random) -> list[Any]:
        items = [self.of.draw(rng) for _ in range(rng.randint(self.min_size, self.max_size))]
        return sorted(items) if self.sorted else items

    def read(self, text: str) -> list[Any]:
        return [self.of.read(item) for item in text.split(", ")]

    def pattern(self) -> str:
        item = self.of.pattern()
        return f"(?:{item})(?:, (?:{item})){{0,11}}"


class Network(Slot):
    """A private IPv4 network (RFC 1918) with a prefix length in a range; `host: true` gives an address inside one, with its prefix."""

    type: Literal["network"]
    min_prefix: int = Field(ge=9, le=32)
    max_prefix: int = Field(ge=9, le=32)
    host: bool = False
    regex: ClassVar[str] = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}"

    @model_validator(mode="after")
    def _ordered(self) -> Network:
        if self.min_prefix > self.max_prefix:
            raise ValueError("min_prefix is above max_prefix")
        return self

    def draw(self, rng: random.Random) -> str:
        import ipaddress

        prefix = rng.randint(self.min_prefix, self.max_prefix)
        address = (10 << 24) + rng.randrange(1 << 24)
        if prefix >= 17 and rng.random() < 0.4:
            address = (172 << 24) + (rng.randint(16, 31) << 16) + rng.randrange(1 << 16)
        if prefix >= 17 and rng.random() < 0.3:
            address = (192 << 24) + (168 << 16) + rng.randrange(1 << 16)
        interface = ipaddress.ip_interface((address, prefix))
        return str(interface if self.host else interface.network)

    def read(self, text: str) -> str:
        import ipaddress

        return str(ipaddress.ip_interface(text) if self.host else ipaddress.ip_network(text))


class Address(Slot):
    """A private IPv4 address (RFC 1918)."""

    type: Literal["address"]
    regex: ClassVar[str] = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"

    def draw(self, rng: random.Random) -> str:
        return f"10.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"

    def read(self, text: str) -> str:
        import ipaddress

        return str(ipaddress.ip_address(text))


class Moment(Slot):
    """A minute in a range of days, `YYYY-MM-DD HH:MM`."""

    type: Literal["datetime"]
    first: str = "2025-01-01"
    days: int = Field(700, ge=1, le=4000)
    regex: ClassVar[str] = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}"

    @model_validator(mode="after")
    def _dated(self) -> Moment:
        from datetime import date

        date.fromisoformat(self.first)
        return self

    def draw(self, rng: random.Random) -> str:
        from datetime import datetime, timedelta

        moment = datetime.fromisoformat(self.first) + timedelta(minutes=rng.randrange(self.days * 1440))
        return moment.strftime("%Y-%m-%d %H:%M")

    def read(self, text: str) -> str:
        from datetime import datetime

        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")


class Cron(Slot):
    """A five-field schedule of the families in `forms`."""

    type: Literal["cron"]
    forms: list[
        Literal["daily", "weekly", "workdays", "monthly", "every_minutes", "every_hours", "hourly", "window"]
    ] = Field(min_length=1)
    regex: ClassVar[str] = r"[0-9*/,\-]{1,20}(?: [0-9A-Z*/,\-]{1,20}){4}"

    def draw(self, rng: random.Random) -> str:
        minute, hour = rng.randrange(0, 60, 5), rng.randrange(24)
        every, day = rng.choice((5, 10, 15, 20, 30)), rng.choice((1, 2, 5, 10, 15, 20, 28))
        start = rng.randint(0, 15)
        return {
            "daily": f"{minute} {hour} * * *",
            "weekly": f"{minute} {hour} * * {rng.randrange(7)}",
            "workdays": f"{minute} {hour} * * 1-5",
            "monthly": f"{minute} {hour} {day} * *",
            "every_minutes": f"*/{every} * * * *",
            "every_hours": f"{minute} */{rng.choice((2, 3, 4, 6, 8, 12))} * * *",
            "hourly": f"{minute} * * * *",
            "window": f"*/{every} {start}-{start + rng.randint(1, 8)} * * 1-5",
        }[rng.choice(self.forms)]

    def read(self, text: str) -> str:
        from domains.devops.calculators.cron import parse

        parse(text)
        return text


class Mode(Slot):
    """Permission bits, octal (`0640`) or as `ls -l` shows them (`rw-r-----`)."""

    type: Literal["mode"]
    symbolic: bool = False
    regex: ClassVar[str] = "[0-7]{3,4}|[r-][w-][x-][r-][w-][x-][r-][w-][x-]"

    def draw(self, rng: random.Random) -> str:
        from domains.devops.calculators.permissions import symbolic

        bits = rng.choice((4, 5, 6, 7)) << 6 | rng.randrange(8) << 3 | rng.randrange(8)
        return symbolic(bits) if self.symbolic else f"{bits:04o}"

    def read(self, text: str) -> str:
        if self.symbolic != (len(text) == 9):
            raise ValueError("the other way to write a mode")
        return text


class Cpu(Slot):
    """CPU of a container: `250m`, or `2` for whole cores. `min`, `max` and `step` are millicores."""

    type: Literal["cpu"]
    min: int = Field(ge=1)
    max: Whole
    step: int = Field(ge=1)
    regex: ClassVar[str] = r"[0-9]{1,6}m|[0-9]{1,3}(?:\.[0-9]{1,3})?"

    @model_validator(mode="after")
    def _ordered(self) -> Cpu:
        return _check_range(self)

    def draw(self, rng: random.Random) -> str:
        millis = rng.randrange(self.min, self.max + 1, self.step)
        return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"


class Memory(Slot):
    """Memory of a container: `512Mi`, `2Gi`. `min`, `max` and `step` are mebibytes."""

    type: Literal["memory"]
    min: int = Field(ge=1)
    max: Whole
    step: int = Field(ge=1)
    regex: ClassVar[str] = "[0-9]{1,7}(?:Ki|Mi|Gi|Ti)"

    @model_validator(mode="after")
    def _ordered(self) -> Memory:
        return _check_range(self)

    def draw(self, rng: random.Random) -> str:
        mebi = rng.randrange(self.min, self.max + 1, self.step)
        return f"{mebi // 1024}Gi" if mebi % 1024 == 0 else f"{mebi}Mi"


class Digits(Slot):
    """A whole number written in base 2, 8 or 16."""

    type: Literal["digits"]
    base: Literal[2, 8, 16]
    min: int = Field(ge=0)
    max: Whole
    regex: ClassVar[str] = "[0-9A-F]{1,32}"

    @model_validator(mode="after")
    def _ordered(self) -> Digits:
        return _check_range(self)

    def draw(self, rng: random.Random) -> str:
        from domains.devops.expressions import in_base

        return in_base(Fraction(rng.randint(self.min, self.max)), Fraction(self.base))


def _check_range(slot: Any) -> Any:
    if slot.min > slot.max:
        raise ValueError(f"min {slot.min} is above max {slot.max}")
    return slot


def _plain(value: Decimal | str) -> Any:
    return Fraction(value) if isinstance(value, Decimal) else value


AnySlot = Annotated[
    Integer | Decimals | Choice | Word | Series | Network | Address | Moment | Cron | Mode | Cpu | Memory | Digits,
    Field(discriminator="type"),
]

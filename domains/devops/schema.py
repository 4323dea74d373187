"""What a framework file may say, as pydantic models. Unknown keys are forbidden; all errors of a file are reported at once, with their lines.

principles      laws and facts, each with its source
explanations    what a principle means in practice
logic           the computation behind an explanation: expressions, or a calculator
blocks          a logic as terse lines of an answer
blueprints      slots, constraints, steps (blocks), claims and the patterns of the question, each at a level of the curriculum
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from domains.devops import document
from domains.devops.slots import AnySlot, Number
from truemark.errors import InvalidConfig

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
"""Slots, results and constants."""
Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,59}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\n]*$")]
Digits = Annotated[int, Field(ge=0, le=6)]
Kind = Literal[
    "integer", "decimal", "percentage", "money", "duration", "bytes", "cpu", "memory", "ip", "netmask", "cidr",
    "ip_range", "time", "mode", "word", "digits", "list",
]  # fmt: skip
QUANTITIES = frozenset({"integer", "decimal", "percentage", "money", "duration", "bytes"})
"""Kinds whose value is one number with a unit."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Constant(_Part):
    """A fixed number that formulas may name."""

    value: Number
    source: Line


class Principle(_Part):
    """A law or a fact."""

    text: Line
    source: Line
    """Where it stands, so that a reader can check it."""


class Explanation(_Part):
    """What a principle means in practice."""

    of: Id
    """The principle."""
    text: Line


class Give(_Part):
    """One result of a logic."""

    expr: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    round: Digits | None = None
    """Decimals, half away from zero; none: exact."""


class Logic(_Part):
    """A computation: expressions over names, or a calculator."""

    of: Id
    """The explanation."""
    rule: Line
    """The computation in symbols; blocks may show it as `{rule}`."""
    gives: dict[
        Name, Annotated[Give, BeforeValidator(lambda value: {"expr": value} if isinstance(value, str) else value)]
    ] = Field(default={}, max_length=12)
    calculator: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Logic:
        if bool(self.gives) == bool(self.calculator):
            raise ValueError("give either `gives` (expressions) or `calculator`")
        return self


class Block(_Part):
    """A logic as terse lines of an answer."""

    logic: Id
    lines: list[Line] = Field(min_length=1, max_length=6)


class Step(_Part):
    """A block used in a blueprint."""

    block: Id
    with_: dict[Name, Name] = Field(default={}, alias="with")
    """Name in the block → name in the blueprint; the others are the same."""
    as_: dict[Name, Name] = Field(default={}, alias="as")
    """Result of the block → its name in the blueprint."""
    round: dict[Name, Digits] = {}
    """Result → decimals, over what the logic says."""


class Claim(_Part):
    """One value of the answer."""

    kind: Kind
    value: Name | None = None
    """The slot or result it is; its own key by default."""
    unit: Annotated[str, StringConstraints(max_length=30)] = ""
    round: Digits | None = None
    """Decimals; the question then says so. None: only values that need no rounding are drawn."""
    label: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\n;:=0-9]*$")] | None = None
    """What stands before it in an answer of several parts; its key by default."""
    options: list[str] = Field(default=[], max_length=20)
    """Of a `word`: what it can be."""
    item: Kind | None = None
    """Of a `list`: the kind of its items."""
    base: Literal[2, 8, 16] | None = None
    """Of `digits`."""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        for kind, field, value in (
            ("word", "options", self.options),
            ("list", "item", self.item),
            ("digits", "base", self.base),
        ):
            if (self.kind == kind) != bool(value):
                raise ValueError(f"`{field}` goes with the kind `{kind}`, and only with it")
        if self.round is not None and self.kind not in QUANTITIES - {"integer"}:
            raise ValueError(f"a claim of kind {self.kind} is not rounded")
        if self.item in ("list", "word", "digits"):
            raise ValueError(f"a list of {self.item} is not checked")
        return self


class Blueprint(_Part):
    """One kind of problem."""

    level: str
    slots: dict[Name, AnySlot] = Field(min_length=1, max_length=12)
    where: list[Annotated[str, StringConstraints(max_length=300)]] = Field(default=[], max_length=12)
    """Conditions on slots and results; a draw that fails one is drawn again."""
    steps: list[
        Annotated[Step, BeforeValidator(lambda value: {"block": value} if isinstance(value, str) else value)]
    ] = Field(min_length=1, max_length=8)
    claims: dict[Name, Claim] = Field(min_length=1, max_length=8)
    patterns: list[Line] = Field(min_length=3, max_length=20)
    """Ways to ask. The last is for test only, the one before it for dev only; the others are trained."""

    @model_validator(mode="after")
    def _one_rounding(self) -> Blueprint:
        if len({claim.round for claim in self.claims.values()} - {None}) > 1:
            raise ValueError(
                "the claims of one blueprint must round to the same decimals, so that the question can say so"
            )
        return self


class Framework(_Part):
    """A domain of reasoning: one file."""

    framework: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    title: Line
    about: Line
    levels: dict[Id, Line] = Field(min_length=1, max_length=8)
    """The curriculum, easiest first."""
    constants: dict[Name, Constant] = Field(default={}, max_length=30)
    principles: dict[Id, Principle] = Field(min_length=1, max_length=60)
    explanations: dict[Id, Explanation] = Field(min_length=1, max_length=100)
    logic: dict[Id, Logic] = Field(min_length=1, max_length=150)
    blocks: dict[Id, Block] = Field(min_length=1, max_length=150)
    blueprints: dict[Id, Blueprint] = Field(min_length=1, max_length=120)


def load(path: Path) -> Framework:
    """The framework in a file. Raises InvalidConfig with all its errors."""
    return parse(document.load(path))


def parse(source: document.Document) -> Framework:
    """The framework in a document. Raises InvalidConfig with all errors: those of the schema, or else those of names that lead nowhere."""
    from domains.devops.references import dangling

    try:
        framework = Framework.model_validate(source.data)
    except ValidationError as error:
        problems = [(_real(source.data, one["loc"]), one["msg"], one["loc"]) for one in error.errors()]
    else:
        problems = [(path, message, path) for path, message in dangling(framework)]
        if not problems:
            return framework
    listed = sorted(
        {(source.line(path), f"{source.where(path)}: {_clean(message, loc, path)}") for path, message, loc in problems}
    )
    shown = "\n".join(text for _, text in listed[:50])
    more = f"\n… and {len(listed) - 50} more" if len(listed) > 50 else ""
    raise InvalidConfig(f"{len(listed)} errors in {source.name}\n{shown}{more}", mend="truemark data lint FILE")


def _real(data: Any, location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of a pydantic location that stands in the data (tags of unions and names of validators do not)."""
    path: list[int | str] = []
    here: Any = data
    for part in location:
        inside = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if inside or (isinstance(here, dict) and part in here):
            here = here[part]
            path.append(part)
    return tuple(path)


def _clean(message: str, location: tuple[int | str, ...], path: tuple[int | str, ...]) -> str:
    message = message.removeprefix("Value error, ")
    missing = location[-1] if location and location[-1] != (path[-1] if path else None) else None
    return f"{message} ('{missing}')" if missing is not None and message == "Field required" else message

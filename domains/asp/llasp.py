"""The sets of LLASP (Coppolillo, Calimeri, Manco, Perri, Ricca: "LLASP: Fine-tuning Large Language Models for Answer Set Programming", KR 2024).

Their rows have `prompt` (an instruction in English), `answer` (the rules, which may have disjunctive heads) and `fact` (an instance). A row becomes
an example whose reference is the answer, whose one instance is the fact, and whose projection is on the predicates in the heads of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domains.asp.program import Refused, Unreadable, statements
from domains.asp.turns import SYSTEM_PROMPT
from domains.base import Example
from domains.sources import rows
from truemark.errors import InvalidData

COLUMNS = ("prompt", "answer", "fact")


def load(source: str, split: str) -> Iterator[Example]:
    """The rows of a CSV file (or hf:OWNER/NAME) as examples. Raises InvalidData naming the row that is no program.

    There are no hidden instances in these sets: with one fact text, an answer that is right on it alone passes.
    """
    for number, row in enumerate(rows(source, COLUMNS, split=split), 1):
        yield _example(
            f"{source}, row {number}",
            f"llasp-{split}-{number:05d}",
            {name: str(row[name] or "").strip() for name in COLUMNS},
        )


def _example(where: str, id: str, row: dict[str, str]) -> Example:
    if not row["prompt"] or not row["answer"]:
        raise InvalidData(f"{where}: expected a prompt and an answer, found an empty one")
    try:
        shown = heads(row["answer"])
        statements(row["fact"])
    except (Unreadable, Refused) as error:
        raise InvalidData(f"{where}: clingo does not read it: {error}") from None
    messages = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": row["prompt"]},
        {"role": "assistant", "content": row["answer"]},
    ]
    meta = {"family": "llasp", "slice": "llasp", "given": "", "instances": [row["fact"]], "show": shown}
    return {"id": id, "messages": messages, "reference": row["answer"], "meta": meta}


def heads(program: str) -> list[str]:
    """The signatures (`name/arity`) of all predicates in heads, in the order of the program: what it defines or chooses.

    Of a program of constraints and weak constraints alone, those of the bodies.
    """
    found: dict[str, None] = {}
    parsed = [statement for statement in statements(program) if statement.ast_type.name in ("Rule", "Minimize")]
    for statement in parsed:
        if statement.ast_type.name == "Rule":
            found.update(dict.fromkeys(_signatures(statement.head, chosen=True)))
    if not found:
        for statement in parsed:
            for literal in statement.body:
                found.update(dict.fromkeys(_signatures(literal, chosen=False)))
    return list(found)


def _signatures(node: Any, *, chosen: bool) -> Iterator[str]:
    """Of the atoms in a tree; in heads without the conditions of what is chosen."""
    from clingo.ast import AST, ASTSequence

    if node.ast_type.name == "SymbolicAtom":
        symbol, sign = node.symbol, ""
        if symbol.ast_type.name == "UnaryOperation":
            symbol, sign = symbol.argument, "-"
        if symbol.ast_type.name == "Function":
            yield f"{sign}{symbol.name}/{len(symbol.arguments)}"
        return
    for key in node.child_keys:
        if chosen and key in ("condition", "left_guard", "right_guard"):
            continue
        child = getattr(node, key)
        for one in child if isinstance(child, ASTSequence | list | tuple) else [child]:
            if isinstance(one, AST):
                yield from _signatures(one, chosen=chosen)

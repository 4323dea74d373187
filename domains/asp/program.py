"""Programs as clingo's own parser sees them: what is refused, what is left out, what is told.

Nothing here grounds or runs anything. A prediction is parsed in a sandbox worker (`domains/asp/solving.py`); the bank's own
rules, which are trusted, in the caller's process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MAX_CHARACTERS = 20_000
"""Of one program. The longest reference has under 1,000."""
MAX_NESTING = 200
"""Open brackets at one place: clingo's parser and its trees are recursive."""
REFUSED = {
    "Script": "#script: code",
    "External": "#external: atoms that are set from outside",
    "Program": "#program: parts other than base",
    "TheoryDefinition": "#theory: definitions of theories",
    "TheoryAtom": "theory atoms: &name {…}",
    "TheoryFunction": "terms of theories",
}
"""Kinds of clingo's syntax tree that no answer may hold, with words for each."""
DROPPED = (
    "ShowSignature", "ShowTerm", "Defined", "ProjectAtom", "ProjectSignature", "Heuristic", "Comment",
)  # fmt: skip
"""Statements that change what is printed or how it is searched, but no answer set: left out, whatever they say."""


class Refused(Exception):
    """A program that is not even parsed or grounded. The first argument says why."""


class TooDeep(Refused):
    """More open brackets than MAX_NESTING."""


class Unreadable(Exception):
    """Not a program: clingo's message is the first argument."""


def statements(text: str) -> list[Any]:
    """The statements of a program without its DROPPED ones. Raises Unreadable and Refused.

    `#include` is refused as a word wherever it stands, even in a comment: clingo's parser opens the file while it reads,
    before there is a tree.
    """
    from clingo.ast import parse_string

    _refuse_text(text)
    found: list[Any] = []
    said: list[str] = []
    try:
        parse_string(text, found.append, logger=lambda _, message: said.append(message), message_limit=5)
    except (RuntimeError, UnicodeError) as error:
        raise Unreadable("".join(said).strip() or str(error)) from None
    kept = []
    for statement in found:
        kind = statement.ast_type.name
        if kind == "Program" and statement.name == "base" and not statement.parameters:
            continue
        if kind in REFUSED:
            raise Refused(REFUSED[kind])
        if kind not in DROPPED:
            kept.append(statement)
    if "&" in text or "@" in text:  # without these signs no statement can hold what is looked for inside of it
        inspector = _inspector()
        for statement in kept:
            inspector.visit(statement)
    return kept


def _refuse_text(text: str) -> None:
    if "#include" in text:
        raise Refused("#include: reading of files")
    strange = next((character for character in text if not _plain(character)), None)
    if strange is not None:
        raise Refused(f"a control or direction character: {strange!r}")
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_NESTING:
            raise TooDeep(f"more than {MAX_NESTING} open brackets")


def _plain(character: str) -> bool:
    import unicodedata

    if character.isascii():
        return character.isprintable() or character in "\n\t"
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _inspector() -> Any:
    from clingo.ast import Transformer

    class Inspector(Transformer):
        """Raises Refused at a node that an answer may not hold."""

        def visit(self, ast: Any, *args: Any, **kwargs: Any) -> Any:
            kind = ast.ast_type.name
            if kind in REFUSED:
                raise Refused(REFUSED[kind])
            if kind == "Function" and ast.external:
                raise Refused("@name(…): functions of a host program")
            return super().visit(ast, *args, **kwargs)

    return Inspector()


def heads(trees: Iterable[Any], *, facts: bool = False) -> set[str]:
    """The signatures (`name/arity`) of plain heads; with `facts` only of rules without a body."""
    found = set()
    for tree in trees:
        if tree.ast_type.name != "Rule" or (facts and len(tree.body)) or tree.head.ast_type.name != "Literal":
            continue
        if tree.head.atom.ast_type.name == "SymbolicAtom":
            symbol = tree.head.atom.symbol
            several = symbol.arguments if symbol.ast_type.name == "Pool" else [symbol]
            found |= {f"{one.name}/{len(one.arguments)}" for one in several if one.ast_type.name == "Function"}
    return found


def rule_texts(text: str) -> list[str]:
    """A trusted program cut where it can be: the shortest runs of lines that clingo reads. (A tree does not say where `#minimize` begins.)"""
    found, run = [], ""
    for line in text.split("\n"):
        run = f"{run}\n{line}" if run else line
        try:
            statements(run)
        except Unreadable:
            continue
        found.append(run)
        run = ""
    return [*found, run] if run else found

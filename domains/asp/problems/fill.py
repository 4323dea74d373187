"""Write the expected answer sets into the bank: `python -m domains.asp.problems.fill [--check]`.

They come from clingo and the reference program, so read what was written: a wrong reference gives wrong answers. Rewrites the topic files
in one style; comments in them are lost.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from domains.asp.problems import TOPICS, read
from truemark.console import say
from truemark.errors import InvalidData
from truemark.files import write_text

WIDTH = 136


def main(arguments: list[str]) -> int:
    """Rewrite every topic file; with `--check` only say which would change."""
    changed = []
    for topic in TOPICS:
        path = Path(__file__).parent / f"{topic}.yaml"
        content = "".join(problem_yaml(row) for row in read(topic))
        if content != path.read_text(encoding="utf-8"):
            changed.append(path.name)
            if "--check" not in arguments:
                write_text(path, content)
    say(f"changed: {', '.join(changed) or 'nothing'}")
    return 1 if changed and "--check" in arguments else 0


def problem_yaml(row: dict[str, Any]) -> str:
    """One problem in the style of the files, with the answers that clingo gives."""
    program = "\n".join(rule["rule"] for rule in row["rules"])
    lines = [
        f"- id: {row['id']}", f"  family: {row['family']}", f"  title: {row['title']}", "  text: >-", *_folded(row["text"]), "  rules:",
    ]  # fmt: skip
    for rule in row["rules"]:
        lines += [f"    - say: {rule['say']}", f"      rule: '{rule['rule']}'"]
    lines += [f"  show: [{', '.join(row['show'])}]", "  instances:"]
    for instance in row["instances"]:
        facts = instance if isinstance(instance, str) else instance["facts"]
        lines += _instance(row["id"], program, facts, row["show"])
    return "\n".join(lines) + "\n"


def _instance(name: str, program: str, facts: str, show: list[str]) -> list[str]:
    from domains.asp.solving import answers

    found = answers(program, facts, show)
    if found["stopped"]:
        raise InvalidData(f"{name} on {facts}: {found['stopped']}: {found['message']}")
    sets = sorted(found["sets"])
    lines = [f"    - facts: {json.dumps(facts)}"]
    if found["cost"] is not None:
        lines.append(f"      cost: {json.dumps(found['cost'])}")
    if not sets:
        return [*lines, "      answers: []"]
    return [*lines, "      answers:", *(f"        - {json.dumps(one)}" for one in sets)]


def _folded(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

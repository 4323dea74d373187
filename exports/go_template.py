"""A Jinja chat template as Ollama's Go template, found by probing it: most are a concatenation, and those that are not are refused.

Messages with marked contents are rendered; what stands between the marks is the text that belongs to each change of role. The result is
rendered again beside the Jinja template on other conversations, and must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from truemark import chat
from truemark.errors import InvalidArtifact

Turn = tuple[str, str]
"""(role, content)."""


class NotAConcatenation(Exception):
    """Why a chat template cannot be written as Go."""


@dataclass(frozen=True)
class Plain:
    """A chat template in which the text around a content does not depend on its neighbours."""

    start: str
    turns: dict[str, tuple[str, str]]
    """Role → (text before, text after)."""
    opening: str
    """After all messages: it opens the assistant's turn."""


@dataclass(frozen=True)
class Pieces:
    """A chat template as texts between contents."""

    before: dict[tuple[str, str], str]
    """(role before, or "" at the start; role) → the text before a content."""
    end: str
    """After the last user's content: its end and the opening of the assistant's turn."""
    system: str | None
    """The system prompt that the template brings when the messages have none."""
    plain: Plain | None
    """A plainer way to write the same, where there is one."""
    trims: bool
    """The template strips white space around contents, which Go's does not."""

    def render(self, turns: Sequence[Turn]) -> str:
        """The prompt, as the Go template renders it; with the default system prompt where the first turn is no system's."""
        if self.system and turns[0][0] != "system":
            turns = [("system", self.system), *turns]
        text, previous = "", ""
        for role, content in turns:
            text += self.before[previous, role] + content
            previous = role
        return text + self.end

    def without_bos(self, bos: str) -> Pieces | None:
        """The same for an engine that puts the BOS token there itself; None where the template writes none."""
        starts = [key for key in self.before if key[0] == ""]
        if not bos or not all(self.before[key].startswith(bos) for key in starts):
            return None
        before = {key: text.removeprefix(bos) if key in starts else text for key, text in self.before.items()}
        plain = self.plain and _plain(before, self.end, self.plain.turns["user"][1], self.plain.turns["assistant"][1])
        return replace(self, before=before, plain=plain)

    def go(self) -> str:
        """Go template source over Ollama's `.Messages`."""
        if self.plain is not None:
            cases = [
                f'eq .Role "{role}" }}}}{_literal(first)}{{{{ .Content }}}}{_literal(last)}'
                for role, (first, last) in self.plain.turns.items()
            ]
            body = "{{ range .Messages }}{{ if " + "{{ else if ".join(cases) + "{{ end }}{{ end }}"
            return _literal(self.plain.start) + body + _literal(self.plain.opening)
        cases = [
            f'and (eq $before "{previous}") (eq .Role "{role}") }}}}{_literal(text)}'
            for (previous, role), text in self.before.items()
        ]
        return (
            '{{ $before := "" }}{{ range .Messages }}{{ if '
            + "{{ else if ".join(cases)
            + "{{ end }}{{ .Content }}{{ $before = .Role }}{{ end }}"
            + _literal(self.end)
        )


def _literal(text: str) -> str:
    """Plain text in a Go template; a brace that could open an action is written as a string."""
    return re.sub(r"\{\{+|\{$", lambda found: f'{{{{ "{found[0]}" }}}}', text)


def pieces(template: str, *, bos_token: str = "", eos_token: str = "") -> Pieces:
    """Take a Jinja chat template apart. Raises NotAConcatenation that says why it cannot be."""
    if "strftime_now" in template:
        raise NotAConcatenation("it writes the date of the day")

    def rendered(turns: Sequence[Turn], opens: bool = True) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return chat.render(template, messages, bos_token=bos_token, eos_token=eos_token, add_generation_prompt=opens)

    try:
        found = _probe(rendered)
    except InvalidArtifact as error:
        raise NotAConcatenation(str(error)) from None
    plain = _conversations("one", found)
    for turns in plain:
        if found.render(turns) != rendered(turns):
            raise NotAConcatenation("a turn is written differently in other places of a conversation")
    spaced = _conversations("  one\n", found)
    return replace(found, trims=any(found.render(turns) != rendered(turns) for turns in spaced))


def _conversations(word: str, found: Pieces) -> list[list[Turn]]:
    turns = [("user", f"{word} ä {{}}"), ("assistant", f"{word} b"), ("user", f"{word} c"), ("assistant", word)]
    talks: list[list[Turn]] = [turns[:1], turns[:3], [*turns, ("user", "d")], [*turns, *turns, ("user", "e")]]
    if ("", "system") in found.before:
        talks += [[("system", "other words"), *talk] for talk in talks]
    return talks


Render = Callable[..., str]


def _probe(rendered: Render) -> Pieces:
    talk = ["user", "assistant", "user", "assistant", "user"]
    before, end = _gaps(rendered, talk)
    try:
        with_system, system_end = _gaps(rendered, ["system", *talk])
    except InvalidArtifact:  # a template may refuse a system message
        with_system, system_end = {}, end
    if end != system_end:
        raise NotAConcatenation("the end depends on whether there is a system message")
    start, system = before["", "user"], None
    if with_system:
        first, second = with_system["", "system"], with_system["system", "user"]
        if start.startswith(first) and start.endswith(second) and len(start) > len(first) + len(second):
            system = start[len(first) : len(start) - len(second)]
    before = {**with_system, **before}
    if system:
        del before["", "user"]
    user_end, assistant_end = (_after(rendered, roles) for roles in (["user"], ["user", "assistant"]))
    return Pieces(before, end, system, _plain(before, end, user_end, assistant_end), trims=False)


def _gaps(rendered: Render, roles: list[str]) -> tuple[dict[tuple[str, str], str], str]:
    """The texts between the marked contents, and the text after the last."""
    marks = [f"Truemark{i}Mark" for i in range(len(roles))]
    rest = rendered(list(zip(roles, marks, strict=True)))
    before: dict[tuple[str, str], str] = {}
    for previous, role, mark in zip(["", *roles], roles, marks, strict=False):
        gap, found, rest = rest.partition(mark)
        if not found or mark in rest:
            raise NotAConcatenation(f"the {role}'s words do not appear once and in order")
        if before.setdefault((previous, role), gap) != gap:
            raise NotAConcatenation(f"the text before the {role}'s words changes in a conversation")
    return before, rest


def _after(rendered: Render, roles: list[str]) -> str:
    """The end of the last turn, without an opened answer."""
    marks = [f"Truemark{i}Mark" for i in range(len(roles))]
    return rendered(list(zip(roles, marks, strict=True)), opens=False).partition(marks[-1])[2]


def _plain(before: dict[tuple[str, str], str], end: str, user_end: str, assistant_end: str) -> Plain | None:
    """The texts before and after each role's words, if the texts between them fall apart so."""
    between = before["user", "assistant"], before["assistant", "user"]
    if not (end.startswith(user_end) and between[0].startswith(user_end) and between[1].startswith(assistant_end)):
        return None
    assistant, user = between[0].removeprefix(user_end), between[1].removeprefix(assistant_end)
    start = ""
    if ("", "user") in before:
        if not before["", "user"].endswith(user):
            return None
        start = before["", "user"][: len(before["", "user"]) - len(user)]
    turns = {"user": (user, user_end), "assistant": (assistant, assistant_end)}
    if ("system", "user") in before:
        first, second = before["", "system"], before["system", "user"]
        if not (second.endswith(user) and first.startswith(start)):
            return None
        turns = {"system": (first.removeprefix(start), second[: len(second) - len(user)]), **turns}
    return Plain(start, turns, end.removeprefix(user_end))

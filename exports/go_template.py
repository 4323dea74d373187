"""A Jinja chat template as Ollama's Go template, found by probing it: most are a concatenation, and those that are not are refused.

Messages with marked contents are rendered; what stands between the marks is the text that belongs to each change of role. The result is
rendered again beside the Jinja template on other conversations, and must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from truemark import chat
from truemark.errors import InvalidArtifact

Turn = tuple[str, str]
"""(role, content)."""


class NotAConcatenation(Exception):
    """Why a chat template cannot be written as Go."""


@dataclass(frozen=True)
class Pieces:
    """A chat template as texts between contents."""

    before: dict[tuple[str, str], str]
    """(role before, or "" at the start; role) → the text before a content."""
    end: str
    """After the last user's content: its end and the opening of the assistant's turn."""
    system: str | None
    """The system prompt that the template brings when the messages have none."""
    turns: dict[str, tuple[str, str]] | None
    """Role → (text before, text after), where the texts do not depend on the neighbour: a plainer way to write the same."""
    opening: str
    """With `turns`: the text after all messages that opens the assistant's turn."""
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
        turns = None if self.turns is None else _turns(before, self.turns["user"][1], self.turns["assistant"][1])
        return replace(self, before=before, turns=turns)

    def go(self) -> str:
        """Go template source over Ollama's `.Messages`."""
        if self.turns is not None:
            cases = [
                f'eq .Role "{role}" }}}}{_literal(first)}{{{{ .Content }}}}{_literal(last)}'
                for role, (first, last) in self.turns.items()
            ]
            body = "{{ range .Messages }}{{ if " + "{{ else if ".join(cases) + "{{ end }}{{ end }}"
            return body + _literal(self.opening)
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
    return text.replace("{{", '{{ "{{" }}')


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
    turns = _turns(before, user_end, assistant_end) if end.startswith(user_end) else None
    return Pieces(before, end, system, turns, end.removeprefix(user_end), trims=False)


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


def _turns(before: dict[tuple[str, str], str], user_end: str, assistant_end: str) -> dict[str, tuple[str, str]] | None:
    """Texts before and after each role's words, if the texts between them fall apart so."""
    if not before["user", "assistant"].startswith(user_end) or not before["assistant", "user"].startswith(
        assistant_end
    ):
        return None
    user = before["assistant", "user"].removeprefix(assistant_end)
    assistant = before["user", "assistant"].removeprefix(user_end)
    if before.get(("", "user"), user) != user:
        return None
    turns = {"user": (user, user_end), "assistant": (assistant, assistant_end)}
    if ("system", "user") in before:
        if not before["system", "user"].endswith(user):
            return None
        after = before["system", "user"][: len(before["system", "user"]) - len(user)]
        turns = {"system": (before["", "system"], after), **turns}
    return turns

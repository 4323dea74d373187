"""Chat templates: messages in, text out, with Jinja in a sandbox, exactly as `transformers` renders them.

Here and not in `transformers`, so that a serving machine renders an adapter's own template without torch.
Source of the environment's options: transformers/utils/chat_template_utils.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from truemark.errors import InvalidArtifact

Message = Mapping[str, Any]
"""`{"role": "system" | "user" | "assistant", "content": str}`, as in the OpenAI API."""


def render(
    template: str,
    messages: Sequence[Message],
    *,
    bos_token: str = "",
    eos_token: str = "",
    add_generation_prompt: bool = True,
) -> str:
    """The prompt text of `messages`. Raises InvalidArtifact when the template is broken or refuses the messages."""
    import jinja2

    try:
        return _compile(template).render(
            messages=list(messages),
            bos_token=bos_token,
            eos_token=eos_token,
            add_generation_prompt=add_generation_prompt,
        )
    except jinja2.exceptions.TemplateError as error:
        raise InvalidArtifact(f"the chat template refused these messages: {error}") from None


@lru_cache(maxsize=64)
def _compile(template: str) -> Any:
    import jinja2
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(pattern: str) -> str:
        return datetime.now().strftime(pattern)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment.from_string(template)


def read_template(directory: Path) -> str:
    """The chat template saved beside a tokenizer: `chat_template.jinja`, else the field of `tokenizer_config.json`."""
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    config = directory / "tokenizer_config.json"
    if config.is_file():
        template = json.loads(config.read_text(encoding="utf-8")).get("chat_template")
        if isinstance(template, str):
            return template
    raise InvalidArtifact(
        f"{directory} has no chat template: expected chat_template.jinja", mend="train or export it again"
    )


PINNED_DATE = datetime(2024, 7, 26)
"""What a template that writes today's date writes instead: the day that Llama 3's templates name where there is no clock."""


def with_default_system(template: str, system: str) -> str:
    """A template that opens with `system` when the messages bring no system message of their own.

    This is how a domain's prompt travels inside the adapter: whoever renders the template, renders the prompt. Two kinds of template are mended on
    the way, for what is trained must be what is served:

    - One that refuses a system message (Mistral before v0.3, Gemma) or moves it to the latest question (Mistral v0.3, so that a conversation no longer
      begins with its own beginning) is given the system text as the head of the first user message.
    - One that writes today's date (Llama 3.2) writes PINNED_DATE: an adapter trained on Monday would be asked something else on Tuesday.
    """
    literal = json.dumps(system, ensure_ascii=False)
    template = pin_date(template)
    default = (
        "{%- if messages[0]['role'] != 'system' -%}"
        f"{{%- set messages = [{{'role': 'system', 'content': {literal}}}] + messages -%}}"
        "{%- endif -%}\n"
    )
    return default + (template if keeps_system(template) else FOLD + template)


FOLD = (
    "{%- if messages | length > 1 and messages[1]['role'] == 'user' -%}"
    "{%- set messages = [{'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + messages[1]['content']}] + messages[2:] -%}"
    "{%- endif -%}\n"
)
"""Puts the text of a leading system message into the first user message."""


def keeps_system(template: str) -> bool:
    """Whether a leading system message is rendered once, before the first question, and stays there as the conversation grows."""
    system, question = "\ue000", "\ue001"  # private use: no template writes them itself
    talk = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    talk += [{"role": role, "content": "\ue002"} for role in ("assistant", "user")]
    heads = set()
    for end in range(2, len(talk) + 1):
        try:
            head, found, rest = render(template, talk[:end], add_generation_prompt=end % 2 == 0).partition(question)
        except InvalidArtifact:
            return False
        heads.add(head)
        if not found or head.count(system) != 1 or system in rest:
            return False
    return len(heads) == 1


def pin_date(template: str) -> str:
    """`strftime_now("FORMAT")` with PINNED_DATE in its place; a call with anything but a literal format is left alone."""

    def fixed(call: re.Match[str]) -> str:
        return json.dumps(PINNED_DATE.strftime(call["format"]))

    return re.sub(r"""\bstrftime_now\(\s*(?P<quote>['"])(?P<format>[^'"]*)(?P=quote)\s*\)""", fixed, template)


def special_tokens(directory: Path) -> dict[str, str]:
    """`bos_token` and `eos_token` of the tokenizer saved in `directory`, as keyword arguments of `render`; empty where it has none."""
    try:
        config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidArtifact(f"{directory / 'tokenizer_config.json'} cannot be read: {error}") from None
    found = {name: config.get(name) for name in ("bos_token", "eos_token")}
    texts = {name: value["content"] if isinstance(value, dict) else value for name, value in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}

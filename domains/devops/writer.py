"""A model writes a framework file; it is taken only when it lints clean.

    text = write("queues in a hospital", "hospital", Endpoint("gpt-5-mini"))

The findings of `truemark data lint` go back to the model, at most `attempts` times; then the writer refuses. What a model writes is data: it is read by the same bounded reader
as any file, it can name calculators and expressions, and nothing in it is run.
"""

from __future__ import annotations

import re
from typing import Protocol

from domains.devops import document
from domains.devops.lint import LEAST, findings
from domains.devops.scaffold import scaffold
from truemark.errors import InvalidData

ATTEMPTS = 3
MAX_FINDINGS = 20
"""Fed back at once."""
INSTRUCTIONS = """You write reasoning frameworks as YAML for a data generator. Answer with one YAML file in a ```yaml block and nothing else.

Rules:
- `framework: {name}`. Keys as in the example, no others. No anchors, aliases or tags.
- At least three levels, two blueprints a level, four patterns a blueprint, all short and technical.
- Every principle names a real published source.
- Slot types: integer {{min, max, step}}, decimal {{min, max, step}}, choice {{of}}, word {{of}} (names that change no answer), list {{of, min_size, max_size}}.
- Expressions: + - * / // % ^, comparisons, `a if c else b`, and min max sum mean median len prod abs floor ceil round sqrt log2 log10 ln exp gcd lcm comb factorial.
- Claims: kind integer, decimal, percentage, money, duration or bytes, with `unit`; `round` wherever a value can be no short decimal.
- A pattern states every slot that is no word, never the answer, and no 13 words in a row without a slot. No two patterns have the same wording.

Example:
```yaml
{example}```
"""


class Completes(Protocol):
    """What the writer needs of `domains.endpoint.Endpoint`."""

    def complete(
        self, messages: list[dict[str, str]], *, max_tokens: int = 512, temperature: float = 0.0, seed: int = 0
    ) -> str: ...


def write(
    topic: str, name: str, endpoint: Completes, *, attempts: int = ATTEMPTS, least: int = LEAST, seed: int = 0
) -> str:
    """The YAML text of a framework about `topic` that lints clean. Raises InvalidData where the model gives none, EngineError from the endpoint."""
    messages = [
        {"role": "system", "content": INSTRUCTIONS.format(name=name, example=scaffold(name))},
        {"role": "user", "content": f"Write a framework about: {topic[:400]}"},
    ]
    found: list[str] = []
    for _ in range(attempts):
        answer = endpoint.complete(messages, max_tokens=8000, temperature=0.0, seed=seed)
        text = extract(answer)
        found = problems(text, name, least)
        if not found:
            return text
        listed = "\n".join(found[:MAX_FINDINGS])
        messages += [
            {"role": "assistant", "content": answer[: document.MAX_BYTES]},
            {
                "role": "user",
                "content": f"The file has {len(found)} findings. Mend them and answer with the whole file.\n{listed}",
            },
        ]
    shown = "\n".join(found[:MAX_FINDINGS])
    raise InvalidData(
        f"no valid framework after {attempts} attempts; the last had {len(found)} findings\n{shown}",
        mend="a narrower topic, or another --model",
    )


def extract(answer: str) -> str:
    """The YAML of an answer: its fenced block, else all of it."""
    match = re.search(r"```(?:ya?ml)?[ \t]*\n", answer)
    if match is None:
        return answer.strip() + "\n"
    end = answer.find("\n```", match.end() - 1)
    return answer[match.end() : end if end >= 0 else len(answer)].strip() + "\n"


def problems(text: str, name: str, least: int = LEAST) -> list[str]:
    """What keeps `text` from being a framework called `name`."""
    from truemark.errors import InvalidConfig

    try:
        source = document.read(text, f"{name}.yaml")
    except InvalidConfig as error:
        return [error.message]
    if isinstance(source.data, dict) and source.data.get("framework") != name:
        return [f"{name}.yaml:{source.line(('framework',))}: framework: expected '{name}'"]
    return findings(source, least)

"""A domain as a task of lm-evaluation-harness, so that others can run its test set and its check on any model they can load there.

Source: https://github.com/EleutherAI/lm-evaluation-harness, docs/new_task_guide.md; read with 0.4.13.
"""

from __future__ import annotations

import json
from pathlib import Path

from domains.base import Domain, Example, asked
from domains.examples import read_examples
from truemark.console import say
from truemark.errors import InvalidData
from truemark.files import publish_directory, write_jsonl


def write_task(domain: Domain, test_file: Path, out: Path) -> Path:
    """Write `out/truemark_DOMAIN/`: the domain as a task of lm_eval, with its test set and a check that calls ours.

        lm_eval run --include_path DIR --tasks truemark_math --apply_chat_template --model hf --model_args pretrained=…

    lm_eval asks one question at a time: conversations of several turns are left out, and their number said. Returns the directory.
    """
    examples = read_examples(test_file, domain.NAME)
    single = [example for example in examples if _question(example) is not None]
    if not single:
        raise InvalidData(f"{test_file} has no example of a single question")
    if len(single) < len(examples):
        say(f"left out {len(examples) - len(single)} of {len(examples)} examples: conversations of several turns")
    name = f"truemark_{domain.NAME}"
    with publish_directory(out / name) as tmp:
        write_jsonl(tmp / "test.jsonl", [dict(example) for example in single])
        (tmp / f"{name}.py").write_text(_CODE.format(domain=domain.NAME), encoding="utf-8")
        (tmp / f"{name}.yaml").write_text(
            _YAML.format(name=name, title=json.dumps(domain.CARD.title), system=json.dumps(domain.SYSTEM_PROMPT)),
            encoding="utf-8",
        )
    return out / name


_YAML = """task: {name}
task_alias: {title}
custom_dataset: !function {name}.dataset
test_split: test
output_type: generate_until
description: {system}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{reference}}}}"
process_results: !function {name}.process_results
generation_kwargs: {{until: [], do_sample: false, max_gen_toks: 256}}
num_fewshot: 0
metric_list:
  - {{metric: passed, aggregation: mean, higher_is_better: true}}
  - {{metric: score, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""

_CODE = '''"""The {domain} test set of Truemark and its check, for lm-evaluation-harness. Needs `truemark` in the same environment."""

import json
from pathlib import Path

from datasets import Dataset

from domains import get
from domains.base import question

EXAMPLES = [json.loads(line) for line in Path(__file__).with_name("test.jsonl").read_text(encoding="utf-8").splitlines()]


def dataset(**_):
    """One row an example; the whole example travels along as JSON."""
    rows = [{{"question": question(example), "reference": example["reference"], "example": json.dumps(example)}} for example in EXAMPLES]
    return {{"test": Dataset.from_list(rows)}}


def process_results(doc, results):
    """What the domain's check says of the answer."""
    verdict = get("{domain}").check(results[0], json.loads(doc["example"]))
    return {{"passed": float(verdict.passed), "score": verdict.score}}
'''


def _question(example: Example) -> str | None:
    """The only message that is asked, beside a system prompt; None for a conversation."""
    messages = [message for message in asked(example) if message["role"] != "system"]
    return messages[0]["content"] if len(messages) == 1 else None

"""The adapters that ship in adapters/: whole, small, on the embedded base, and not the base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domains import DOMAINS, get
from domains.base import asked
from truemark import artifacts, models
from truemark.artifacts import Artifact

SHELF = Path(__file__).parent.parent / "adapters"
SHIPPED = [domain for domain in DOMAINS if (SHELF / f"{domain}-smollm2").is_dir()]
LARGEST = 6e6
"""Bytes of one directory."""


def shipped(domain: str) -> Artifact:
    return artifacts.open_artifact(SHELF / f"{domain}-smollm2")


def test_the_table_names_what_lies_there() -> None:
    assert {"math", "rewording"} <= set(SHIPPED)
    lying = [artifacts.open_artifact(path.parent) for path in SHELF.glob(f"*/{artifacts.MANIFEST}")]
    assert {artifact.manifest.domain for artifact in lying} == set(SHIPPED)
    table = (SHELF / "README.md").read_text()
    assert all(f"`{artifact.id}`" in table for artifact in lying)


@pytest.mark.parametrize("domain", SHIPPED)
def test_whole_small_and_of_this_base(domain: str) -> None:
    artifact = shipped(domain)
    manifest = artifact.manifest
    assert (manifest.kind, manifest.domain, manifest.format) == ("adapter", domain, "peft")
    assert manifest.base.sha256 == models.resolve("smollm2-135m").weights_sha256()
    assert sum(file.stat().st_size for file in artifact.path.iterdir()) <= LARGEST
    with (artifact.path / "adapter_model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}
    assert {min(entry["shape"]) for name, entry in header.items() if name != "__metadata__"} == {8}
    if prompt := get(domain).SYSTEM_PROMPT:
        assert prompt in (artifact.path / "chat_template.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize("domain", SHIPPED)
def test_its_scores_are_its_own(domain: str) -> None:
    artifact = shipped(domain)
    rows = json.loads((artifact.path / "scores.json").read_text())["rows"]
    assert {row["sha256"] for row in rows} == {artifact.sha} and {row["domain"] for row in rows} == {domain}


@pytest.mark.slow
@pytest.mark.parametrize("domain", SHIPPED)
def test_it_answers_otherwise_than_its_base(domain: str) -> None:
    from truemark.runtimes import open_runtime
    from truemark.runtimes.base import Sampling

    questions = [asked(example) for example in get(domain).build(7, 60)["train"][:4]]
    answers = []
    for ref in ("smollm2-135m", str(shipped(domain).path)):
        with open_runtime(ref) as runtime:
            answers.append(dict(runtime.generate(questions, Sampling(max_tokens=96))))
    base, adapter = answers
    assert all(adapter[i].finish_reason == "stop" for i in adapter)
    assert any(adapter[i].text != base[i].text for i in adapter)

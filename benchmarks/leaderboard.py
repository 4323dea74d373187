"""A leaderboard of 20 models with 10,000 answers each: how long it takes to compare, to write, and to open in Chromium.

    python -m benchmarks.leaderboard [--models 20] [--examples 10000] [--keep DIRECTORY]    → benchmarks/results/leaderboard.json

The answers are made up (steps of arithmetic, a third of them wrong, in 500 families); everything after them is real.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from domains.base import Example, Verdict
from evalsuite.comparison import Scored, compare
from evalsuite.evaluations import Evaluation, Model
from evalsuite.html import page
from evalsuite.leaderboard import Board, Section
from evalsuite.metrics import Answer
from evalsuite.predictions import Prediction
from truemark import artifacts, system
from truemark.files import write_json, write_text

OUT = Path(__file__).parent / "results" / "leaderboard.json"
REPEATS = 5


def examples(n: int) -> list[Example]:
    """Questions in 500 families and two slices."""
    return [
        {
            "id": f"made-up-{i}",
            "messages": [{"role": "user", "content": f"A crate holds {i} apples and {i % 97} pears. How many pieces?"}],
            "reference": str(i + i % 97),
            "meta": {"slice": ("numbers", "wording")[i % 2], "family": f"f{i % 500}"},
        }
        for i in range(n)
    ]


def answered(number: int, rows: list[Example]) -> Scored:
    """One model: the further down, the more often wrong."""
    rng = random.Random(number)
    sha = f"{number:064x}"
    model = Model(ref=f"runs/m{number}", label=f"m{number}@{sha[-12:]}", name=f"model-{number}", kind="gguf",
                  format=("peft", "gguf-q8_0", "gguf-q4_k_m")[number % 3], sha256=sha, mark="passed")  # fmt: skip
    sampling = {"max_tokens": 256, "temperature": 0.0, "top_p": 1.0, "seed": 0, "stop": []}
    answers = []
    for example in rows:
        right = rng.random() < 0.8 - number / 40
        value = example["reference"] if right else str(rng.randrange(9999))
        steps = f"We add the apples and the pears: {rng.randrange(999)} + {rng.randrange(99)}. So there are {value} pieces. "
        text = steps * rng.randrange(1, 4) + f"\nAnswer: {value}"
        prediction = Prediction.model_construct(
            key="", id=example["id"], example_sha256="", ref=model.ref, label=model.label, model_sha256=sha, engine="llamacpp",
            engine_sha256=sha, sampling=sampling, prompt_sha256="0" * 64, prompt_tokens=60, text=text, finish_reason="stop",
            tokens=len(text) // 4, seconds=0.1,
        )  # fmt: skip
        verdict = Verdict(float(right), right, "ok" if right else "wrong_value", {"message": f"found {value}"})
        answers.append(Answer(example, prediction, verdict))
    evaluation = Evaluation(
        domain="math", model=model, engine="llamacpp", engine_sha256=sha, sampling=sampling, system="", examples_sha256="0" * 64,
        limit=None, created="2026-01-01T00:00:00+00:00", machine=artifacts.machine(), libraries={}, verdicts=[],
    )  # fmt: skip
    return Scored(evaluation, answers)


def browse(path: Path) -> dict[str, Any]:
    """Seconds until the page has loaded and its script has run, and until a row's answers are there; the median of REPEATS."""
    from playwright.sync_api import sync_playwright

    loaded, opened = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=system.chromium(), args=["--no-sandbox"])
        for _ in range(REPEATS):
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            started = time.perf_counter()
            tab.goto(path.absolute().as_uri(), wait_until="load")
            tab.locator("#count").wait_for()
            loaded.append(time.perf_counter() - started)
            started = time.perf_counter()
            tab.locator("summary").last.click()
            tab.locator("article.full").first.wait_for()
            opened.append(time.perf_counter() - started)
            tab.close()
        version = browser.version
        browser.close()
    return {
        "chromium": version,
        "open_s": sorted(loaded)[REPEATS // 2],
        "open_s_all": loaded,
        "row_s": sorted(opened)[REPEATS // 2],
    }


def main() -> None:
    """Make, compare, write, open."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    rows = examples(options.examples)
    scored = [answered(number, rows) for number in range(options.models)]
    started = time.process_time()
    compared = compare(scored, scored[-1])
    comparing = time.process_time() - started
    section = Section("math", "Made up", {}, "0" * 64, len(rows), None, scored[-1].evaluation.model.label, compared, {})
    started = time.process_time()
    text = page(Board("2026-01-01T00:00:00+00:00", [section], []))
    writing = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        path = (options.keep or Path(folder)) / "index.html"
        write_text(path, text)
        found = browse(path)
    result = {
        "command": f"python -m benchmarks.leaderboard --models {options.models} --examples {options.examples}",
        "machine": artifacts.machine(),
        "models": options.models,
        "examples": options.examples,
        "rows": len(compared),
        "compare_cpu_s": round(comparing, 2),
        "write_cpu_s": round(writing, 2),
        "mb": round(len(text.encode()) / 1e6, 2),
        **{key: [round(v, 3) for v in value] if isinstance(value, list) else round(value, 3) if isinstance(value, float) else value for key, value in found.items()},
    }  # fmt: skip
    write_json(options.out, result)
    print(result)


if __name__ == "__main__":
    main()

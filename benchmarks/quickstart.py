"""The main job, timed step by step, with the scores and marks it ended in; also the sample leaderboard in docs/.

python -m benchmarks.quickstart             runs `truemark quickstart` in an empty directory (about 15 minutes on 2 cores)
python -m benchmarks.quickstart DIRECTORY   takes the figures of a run that was made there
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MARK_LINES = ("kl", "kl_p99", "top1", "prefix", "canary", "score")


def figures(run: Path) -> dict[str, Any]:
    """What a finished quickstart in `run` measured."""
    timed = json.loads((run / "results" / "quickstart.json").read_text())
    board = json.loads((run / "leaderboard" / "leaderboard.json").read_text())
    training = json.loads((run / "runs" / "math-smollm2" / "training.json").read_text())
    marks = {}
    for path in sorted(run.glob("runs/*/mark.json")):
        mark = json.loads(path.read_text())
        lines = {check["name"]: check["value"] for check in mark["checks"] if check["name"] in MARK_LINES}
        marks[mark["format"]] = {**lines, **{key: mark[key] for key in ("size_mb", "peak_memory_mb")}, "tokens_per_second": mark["speed"]["tokens_per_second"],
                                 "score": mark["score"]}  # fmt: skip
    return {
        "command": "truemark quickstart",
        "date": datetime.now(UTC).date().isoformat(),
        **timed,
        "training": {key: training[key] for key in ("recipe", "examples", "tokens", "seconds")},
        "marks": marks,
        "leaderboard": board["rows"],
    }


def main() -> None:
    """Run, or read a run, and write benchmarks/results/quickstart.json and docs/leaderboard/."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        if len(sys.argv) == 1:
            subprocess.run([sys.executable, "-m", "truemark", "quickstart"], cwd=run, check=True)
        out = ROOT / "benchmarks" / "results" / "quickstart.json"
        out.write_text(json.dumps(figures(run), indent=2, ensure_ascii=False) + "\n")
        shutil.copytree(run / "leaderboard", ROOT / "docs" / "leaderboard", dirs_exist_ok=True)


if __name__ == "__main__":
    main()

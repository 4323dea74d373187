"""Ask the model in this folder: python run.py "What is 30% of 80?", or without a question for a conversation of single questions.

Needs Python and what `bundle.json` names under "needs"; no network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask the model in this folder.")
    parser.add_argument("question", nargs="*", help="without one, questions are read line by line")
    parser.add_argument("--max-tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument("--threads", type=int, default=None, help="default: the engine's own choice")
    parser.add_argument("--no-verify", action="store_true", help="do not hash the files first")
    options = parser.parse_args()
    bundle = json.loads((FOLDER / "bundle.json").read_text(encoding="utf-8"))
    changed = [] if options.no_verify else changed_files(bundle)
    if changed:
        print(f"not the files that were measured: {', '.join(changed)}", file=sys.stderr)
        return 1
    try:
        from engine import Engine  # engine.py in this folder: one for each kind of model file

        engine = Engine(FOLDER, bundle, options.threads)
    except ImportError as error:
        print(f"{error.name} is not installed: pip install {bundle['needs']}", file=sys.stderr)
        return 3
    if options.question:
        answer(engine, " ".join(options.question), options.max_tokens)
        return 0
    for question in questions():
        answer(engine, question, options.max_tokens)
    return 0


def changed_files(bundle: dict[str, Any]) -> list[str]:
    """Names of files that are missing or have another SHA-256 than `bundle.json` says."""
    return [name for name, wanted in bundle["files"].items() if sha256(FOLDER / name) != wanted]


def sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def questions() -> Any:
    """Lines from the keyboard (or a pipe) until the end of the input, Ctrl-D or Ctrl-C."""
    prompt = "? " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line:
            yield line


def answer(engine: Any, question: str, max_tokens: int) -> None:
    """Print an answer while it is made. The chat template brings the system prompt, so the question is all there is to say."""
    for piece in engine.stream([{"role": "user", "content": question}], max_tokens):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    sys.exit(main())

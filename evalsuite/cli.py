"""The verbs `eval` and `leaderboard`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    domain: Annotated[str, typer.Argument(help="The domain, e.g. math.")],
    *,
    model: Annotated[list[str], typer.Option("--model", metavar="REF", help="A model reference; may be repeated.")],
    data: Annotated[Path | None, typer.Option(help="Test set.", show_default="data/DOMAIN/test.jsonl")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use a fixed sample of this many examples.")] = None,
    runtime: Annotated[str | None, typer.Option(help="Runtime for all models.", show_default="by kind")] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="REF", help="Compare with this model.", show_default="the first --model")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    results: Annotated[Path, typer.Option(help="Where predictions and scores are kept.")] = Path("results"),
    lm_eval: Annotated[
        str | None, typer.Option(metavar="TASK,…", help="Run these tasks of lm-evaluation-harness instead.")
    ] = None,
    include: Annotated[Path | None, typer.Option(help="Directory with task files for --lm-eval.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Answer a test set with each model, check the answers, and compare with a baseline.

    Answers are kept: an interrupted run continues, and a repeated one asks nothing.
    """
    from evalsuite.report import table
    from evalsuite.run import evaluate as run
    from truemark.runtimes.base import Sampling

    if lm_eval is not None:
        from evalsuite import harness

        print(harness.evaluate(domain, model, lm_eval.split(","), results, limit, include, as_json=as_json))
        return
    outcome = run(
        domain,
        model,
        data=data or Path("data") / domain / "test.jsonl",
        results=results,
        sampling=Sampling(max_tokens=max_tokens),
        limit=limit,
        runtime=runtime,
        baseline=baseline,
    )
    if as_json:
        failures = {ref: error.message for ref, error in outcome.failures.items()}
        print(json.dumps({"rows": [row.to_json() for row in outcome.rows], "failures": failures}, indent=2))
    elif outcome.rows:
        print(table(outcome.rows))
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def leaderboard(
    results: Annotated[Path, typer.Option(help="Where `truemark eval` left its scores.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Directory to write.")] = Path("leaderboard"),
    baseline: Annotated[
        str | None, typer.Option(metavar="REF", help="Compare with this model.", show_default="the base")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print leaderboard.json too.")] = False,
) -> None:
    """Write the leaderboard from the scores at hand: index.html, leaderboard.json, LEADERBOARD.md."""
    from evalsuite.html import page
    from evalsuite.leaderboard import build, markdown
    from truemark.console import say
    from truemark.files import write_json, write_text

    board = build(results, baseline)
    write_json(out / "leaderboard.json", board.to_json())
    write_text(out / "LEADERBOARD.md", markdown(board))
    write_text(out / "index.html", page(board))
    say(f"wrote {out / 'index.html'}, leaderboard.json and LEADERBOARD.md: {len(board.rows)} rows")
    if as_json:
        print(json.dumps(board.to_json(), indent=2))

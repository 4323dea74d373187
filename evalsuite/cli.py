"""The verbs `eval`, `score` and `leaderboard`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

_METRIC = "A metric to show; may be repeated; `all` shows every one."


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
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=_METRIC, show_default="the domain's"),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Questions to an endpoint at a time.")] = 8,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="Most tokens that endpoints may take and write in this run.")
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Most money, in US dollars; needs prices.")] = None,
    price_in: Annotated[float, typer.Option(min=0, help="US dollars per million prompt tokens.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="US dollars per million tokens of answers.")] = 0.0,
    allow_contaminated: Annotated[
        bool, typer.Option("--allow-contaminated", help="Score, and mark, a model trained on test examples.")
    ] = False,
    executor: Annotated[
        str, typer.Option(help="local, or ray: spread scoring and questions to endpoints over a Ray cluster.")
    ] = "local",
    results: Annotated[Path, typer.Option(help="Where predictions and scores are kept.")] = Path("results"),
    also: Annotated[
        str, typer.Option(metavar="SET,…", help="Ask these further sets too: stability, drift.", show_default="none")
    ] = "",
    lm_eval: Annotated[
        str | None, typer.Option(metavar="TASK,…", help="Run these tasks of lm-evaluation-harness instead.")
    ] = None,
    include: Annotated[Path | None, typer.Option(help="Directory with task files for --lm-eval.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Answer a test set with each model, check the answers, and compare with a baseline.

    Answers are kept: an interrupted run continues, and a repeated one asks nothing.
    """
    import domains
    from evalsuite import metric_table, metrics, sets
    from evalsuite.executor import named, running
    from evalsuite.plain import text
    from evalsuite.report import slice_title, table
    from evalsuite.run import Asking
    from evalsuite.run import evaluate as run
    from evalsuite.scoring import measure
    from truemark.console import say
    from truemark.runtimes.base import Sampling
    from truemark.runtimes.retries import Budget

    if lm_eval is not None:
        from evalsuite import harness

        print(harness.evaluate(domain, model, lm_eval.split(","), results, limit, include, as_json=as_json))
        return
    names, where = metrics.names(metric or domains.get(domain).METRICS), named(executor)
    budget = Budget(budget_tokens, budget_usd, price_in, price_out)
    with running(where):
        outcome = run(
            domain,
            model,
            data=data or Path("data") / domain / "test.jsonl",
            results=results,
            sampling=Sampling(max_tokens=max_tokens),
            limit=limit,
            runtime=runtime,
            baseline=baseline,
            asking=Asking(concurrency, budget, allow_contaminated, where),
            also=sets.names(also),
        )
        measured = [measure(names, row.answers, values=False, executor=where) for row in outcome.rows]
    if budget.spent_in or budget.spent_out:
        say(budget.report())
    if as_json:
        failures = {ref: error.message for ref, error in outcome.failures.items()}
        rows = [
            {**row.to_json(), "metrics": metric_table.to_json(found)}
            for row, found in zip(outcome.rows, measured, strict=True)
        ]
        found = [one.to_json() for one in outcome.tables]
        print(json.dumps({"rows": rows, "sets": found, "failures": failures}, indent=2))
    elif outcome.rows:
        print(table(outcome.rows))
        if shown := [name for name in names if metric or name not in ("accuracy", "tokens_per_second")]:
            labels = [f"{slice_title(row.slice)} · {row.scored.evaluation.model.label}" for row in outcome.rows]
            print("\n" + metric_table.table(list(zip(labels, measured, strict=True)), shown))
        for one in outcome.tables:
            print("\n" + text(one.plain()))
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def score(
    domain: Annotated[str, typer.Argument(help="The domain, e.g. math.")],
    predictions: Annotated[Path, typer.Argument(help="A predictions file: results/DOMAIN/predictions/RUN.jsonl.")],
    *,
    data: Annotated[Path | None, typer.Option(help="Test set.", show_default="data/DOMAIN/test.jsonl")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help=_METRIC, show_default="the domain's"),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that score.")] = 1,
    executor: Annotated[
        str, typer.Option(help="local, or ray: spread scoring and questions to endpoints over a Ray cluster.")
    ] = "local",
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Score a predictions file by the domain's check and by metrics, however long it is: nothing is asked of a model."""
    import domains
    from evalsuite import metric_table
    from evalsuite.executor import named
    from evalsuite.scoring import measure_files

    names = metric or domains.get(domain).METRICS
    test = data or Path("data") / domain / "test.jsonl"
    found = measure_files(names, domain, test, predictions, processes=processes, executor=named(executor))
    if as_json:
        print(json.dumps({"n": found.n, "metrics": metric_table.to_json(found)}, indent=2))
    else:
        print(f"{found.n} answers")
        print(metric_table.table([(predictions.stem, found)], [*found.estimates, *found.errors]))


def leaderboard(
    results: Annotated[Path, typer.Option(help="Where `truemark eval` left its scores.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Directory to write.")] = Path("leaderboard"),
    baseline: Annotated[
        str | None, typer.Option(metavar="REF", help="Compare with this model.", show_default="the base")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="A metric beside accuracy; may be repeated.")
    ] = None,
    votes: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Votes to weigh.", show_default="votes.sqlite under --results, if it is there"
        ),
    ] = None,
    model_index: Annotated[
        str | None, typer.Option(metavar="ARTIFACT", help="Only print this model's scores as Hub model-index YAML.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print leaderboard.json too.")] = False,
) -> None:
    """Write the leaderboard from the scores at hand: index.html, leaderboard.json, LEADERBOARD.md."""
    from evalsuite.comparison import SHOWN
    from evalsuite.html import page
    from evalsuite.leaderboard import build, markdown
    from truemark.console import say
    from truemark.files import write_json, write_text

    board = build(results, baseline, [*SHOWN, *(metric or [])], votes)
    if model_index is not None:
        from evalsuite.model_index import model_index as yaml_of

        print(yaml_of(board, model_index), end="")
        return
    write_json(out / "leaderboard.json", board.to_json())
    write_text(out / "LEADERBOARD.md", markdown(board))
    write_text(out / "index.html", page(board))
    say(f"wrote {out / 'index.html'}, leaderboard.json and LEADERBOARD.md: {len(board.rows)} rows")
    if as_json:
        print(json.dumps(board.to_json(), indent=2))

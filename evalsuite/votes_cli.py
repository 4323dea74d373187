"""The verb `votes`: what people's votes on a domain say, and how well the metrics foretell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from truemark.votes import STORE

if TYPE_CHECKING:
    from evalsuite.judgement import Judgement
    from evalsuite.metric_agreement import Correlation, MetricAgreement
    from evalsuite.statistics import Interval


def votes(
    domain: Annotated[str, typer.Argument(help="The domain, e.g. math.")],
    store: Annotated[str, typer.Option(metavar="URL", help="A file, or postgresql://USER@HOST/DATABASE.")] = STORE,
    offer: Annotated[
        list[str], typer.Option(metavar="REF", help="Twice: put these two models' stored answers up for judgement.")
    ] = [],  # noqa: B006
    limit: Annotated[int, typer.Option(min=1, help="With --offer: so many items at most.")] = 50,
    results: Annotated[Path, typer.Option(help="Where `truemark eval` left its scores.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say whether the annotators agree, who is preferred by how much, and which metric would have told."""
    import domains
    from evalsuite.judgement import judge
    from evalsuite.metric_agreement import correlate
    from evalsuite.offer import items_of
    from truemark.console import say
    from truemark.errors import InvalidData
    from truemark.votes import open_store

    domains.get(domain)
    if offer and len(offer) != 2:
        raise InvalidData(
            f"expected --offer REF twice, found {len(offer)}", mend=f"truemark votes {domain} --offer REF --offer REF"
        )
    pairs = items_of(results, domain, offer[0], offer[1], limit) if offer else []
    with open_store(store, create=bool(offer)) as opened:
        if pairs:
            opened.offer(pairs)
            say(f"{len(pairs)} items are up for judgement in {opened.name}")
        cast = opened.votes(domain)
        found = judge(domain, len(opened.items(domain)), cast)
    correlation = correlate(results, domain, cast)
    if as_json:
        print(json.dumps({**found.to_json(), "correlation": correlation.to_json()}, indent=2))
    else:
        print("\n".join([*_about(found), *_table(found), *_correlation(correlation), *_notes(found)]))


def _about(found: Judgement) -> list[str]:
    lines = [
        f"{found.domain}: {found.votes} votes of {found.annotators} annotators on {found.judged} of {found.items} items, "
        f"{found.enough} of them judged by two or more"
    ]
    for name, alpha in (("votes, nominal", found.alpha), ("ratings, ordinal", found.rating_alpha)):
        if alpha is not None and alpha.value is not None:
            lines.append(
                f"Krippendorff's α ({name}): {alpha.value:.3f}{_bounds(alpha.interval)} over {alpha.units} units"
            )
    if found.left_share is not None and found.left_interval is not None:
        lines.append(f"votes for the left side: {100 * found.left_share:.1f} %{_bounds(found.left_interval, 100, 1)}")
    return lines


def _table(found: Judgement) -> list[str]:
    if not found.standings:
        return []
    rows = [["model", "score [95 % CI]", "wins", "ties", "losses", "mean rating"]]
    for row in found.standings:
        rating = found.ratings.get(row.model)
        rows.append(
            [
                row.model if len({one.group for one in found.standings}) == 1 else f"({row.group + 1}) {row.model}",
                f"{row.score:+.2f}{_bounds(row.interval, 1, 2)}",
                str(row.wins),
                str(row.ties),
                str(row.losses),
                "" if rating is None else f"{rating:.2f}",
            ]
        )
    return [
        "",
        *_columns(rows),
        "score: Bradley-Terry with ties (Davidson), log-odds; 0.69 apart is two of three decided votes",
    ]


def _correlation(found: Correlation) -> list[str]:
    if not found.metrics:
        return ["", f"metrics: the answers of {found.found} of {found.items} judged items have scores here"]
    rows = [["metric", "agrees [95 % CI]", "τ", "ties", "votes"]]
    for row in [*([found.people] if found.people else []), *found.metrics]:
        rows.append(_metric(row))
    lines = ["", *_columns(rows)]
    lines.append(
        f"agrees: the answer that was chosen scores higher; {found.found} of {found.items} judged items have scores"
    )
    return lines + [f"  {name}: {why}" for name, why in found.left_out.items()]


def _metric(row: MetricAgreement) -> list[str]:
    bounds = _bounds(row.interval, 100, 1)
    return [
        row.metric,
        f"{100 * row.agreement:.1f} %{bounds}",
        f"{row.tau:+.2f}",
        f"{100 * row.undecided:.0f} %",
        str(row.votes),
    ]


def _notes(found: Judgement) -> list[str]:
    return ["", *(f"- {note}" for note in found.notes)] if found.notes else []


def _bounds(interval: Interval | None, scale: float = 1, digits: int = 3) -> str:
    return "" if interval is None else f" [{scale * interval.low:.{digits}f}, {scale * interval.high:.{digits}f}]"


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]

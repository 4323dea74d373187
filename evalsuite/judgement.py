"""What people's votes say of a domain's models: whether the annotators agree, and who is preferred by how much.

    with open_store() as store:
        found = for_leaderboard("math", store)
    found.alpha.value, found.standings[0].model, found.standings[0].score

The leaderboard joins `Standing.sha256` to the `sha256` of its rows' models.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evalsuite.agreement import FEWEST as FEWEST_UNITS
from evalsuite.agreement import Agreement, alpha
from evalsuite.bradley_terry import FEWEST as FEWEST_QUESTIONS
from evalsuite.bradley_terry import Comparison, Strengths, strengths
from evalsuite.plain import Plain
from evalsuite.statistics import Interval, wilson
from truemark.votes import ENOUGH, Answer, Vote

if TYPE_CHECKING:
    from truemark.votes_sql import Store

TENTATIVE = 0.667
"""Krippendorff (2004), Content Analysis, ch. 11: from 0.667 tentative conclusions, from 0.8 firm ones."""
_CODE = {"a": 0.0, "tie": 1.0, "b": 2.0}


@dataclass(frozen=True)
class Standing:
    """One model among those that people compared."""

    model: str
    """Label."""
    ref: str
    sha256: str
    score: float
    """Bradley-Terry (Davidson), in log-odds about the mean of its group: see `bradley_terry`."""
    interval: Interval | None
    """95 %, over resampled questions; None where the votes do not tell."""
    wins: int
    ties: int
    losses: int
    group: int
    """0 for the largest; scores of two groups cannot be compared."""


@dataclass(frozen=True)
class Judgement:
    """Everything the votes on a domain say by themselves."""

    domain: str
    items: int
    """Pairs of answers put up for judgement."""
    judged: int
    """Those with a vote or more."""
    enough: int
    """Those with ENOUGH annotators or more."""
    votes: int
    annotators: int
    alpha: Agreement
    """Of the votes a, b, tie: nominal."""
    rating_alpha: Agreement | None
    """Of the ratings from 1 to 5: ordinal; None where nobody gave any."""
    ratings: dict[str, float]
    """Mean rating by model label, where there are any."""
    left_share: float | None
    """Votes for the left of those for a side: far from a half, position was judged and not the answer."""
    left_interval: Interval | None
    """Wilson 95 %."""
    standings: list[Standing]
    """Group by group, the best first."""
    tie_weight: float
    """Davidson's ν."""
    notes: list[str]
    """What the numbers do not bear, in words."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)


def to_json(found: Judgement) -> dict[str, Any]:
    """As in `leaderboard.json`: without the domain, in which it stands, and each model's mean rating beside its score."""
    return {
        **{name: getattr(found, name) for name in ("items", "judged", "enough", "votes", "annotators")},
        "alpha": _alpha_json(found.alpha),
        "rating_alpha": None if found.rating_alpha is None else _alpha_json(found.rating_alpha),
        "left_share": found.left_share,
        "left_interval": _interval_json(found.left_interval),
        "tie_weight": found.tie_weight,
        "standings": [
            {
                "label": row.model,
                "ref": row.ref,
                "sha256": row.sha256,
                "score": row.score,
                "interval": _interval_json(row.interval),
                "wins": row.wins,
                "ties": row.ties,
                "losses": row.losses,
                "group": row.group,
                "rating": found.ratings.get(row.model),
            }
            for row in found.standings
        ],
        "notes": found.notes,
    }


def plain(found: Judgement) -> Plain:
    """As a table of words: who is preferred, and under it whether people agree."""
    several = len({row.group for row in found.standings}) > 1
    rows = [
        [
            f"({row.group + 1}) {row.model}" if several else row.model,
            f"{row.score:+.2f}{_bounds(row.interval)}".replace("-", "−"),
            str(row.wins),
            str(row.ties),
            str(row.losses),
            f"{found.ratings[row.model]:.2f}" if row.model in found.ratings else "",
        ]
        for row in found.standings
    ]
    agree = [
        f"Krippendorff's α ({name}): {one.value:.2f}{_bounds(one.interval)} over {one.units} units"
        for name, one in (("votes, nominal", found.alpha), ("ratings, ordinal", found.rating_alpha))
        if one is not None and one.value is not None
    ]
    about = (
        f"{found.votes} blind votes of {found.annotators} annotators on {found.judged} pairs of answers, {found.enough} of them judged "
        "by two or more; score: Bradley-Terry with ties (Davidson), log-odds, 0.69 apart is two of three decided votes"
    )
    heads = ["model", "score [95 % CI]", "wins", "ties", "losses", "mean rating"]
    return Plain("What people prefer", about, heads, rows, [*agree, *found.notes])


def _bounds(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval.low:+.2f}, {interval.high:+.2f}]".replace("-", "−")


def _alpha_json(found: Agreement) -> dict[str, Any]:
    return {**vars(found), "interval": _interval_json(found.interval)}


def _interval_json(found: Interval | None) -> dict[str, Any] | None:
    return None if found is None else found.to_json()


def for_leaderboard(domain: str, store: Store, *, seed: int = 0) -> Judgement:
    """Read a domain's votes and weigh them. A domain without votes gives zero counts and a note, never an error."""
    return judge(domain, len(store.items(domain)), store.votes(domain), seed=seed)


def judge(domain: str, items: int, votes: Sequence[Vote], *, seed: int = 0) -> Judgement:
    """The same of votes in memory: of each annotator and item one."""
    judges = Counter(vote.item.id for vote in votes)
    own, rated = agreement(votes, seed=seed), rating_agreement(votes, seed=seed)
    fitted = strengths(
        [Comparison(v.item.a.sha256, v.item.b.sha256, v.choice, v.item.question) for v in votes], seed=seed
    )
    sided = [vote for vote in votes if vote.choice != "tie"]
    left = sum(vote.choice == vote.left for vote in sided)
    found = Judgement(
        domain=domain,
        items=items,
        judged=len(judges),
        enough=sum(count >= ENOUGH for count in judges.values()),
        votes=len(votes),
        annotators=len({vote.annotator for vote in votes}),
        alpha=own,
        rating_alpha=rated,
        ratings=_mean_ratings(votes),
        left_share=left / len(sided) if sided else None,
        left_interval=wilson(left, len(sided)) if sided else None,
        standings=_standings(fitted, _answers(votes)),
        tie_weight=fitted.tie_weight,
        notes=[],
    )
    found.notes.extend(_notes(found, fitted, _answers(votes)))
    return found


def agreement(votes: Sequence[Vote], *, seed: int = 0) -> Agreement:
    """Nominal α of the choices; items to one question are resampled together."""
    table = _matrix([((vote.item.id,), vote.item.question, vote.annotator, _CODE[vote.choice]) for vote in votes])
    return alpha(table[0], "nominal", clusters=table[1], seed=seed)


def rating_agreement(votes: Sequence[Vote], *, seed: int = 0) -> Agreement | None:
    """Ordinal α of the ratings, each answer a unit; None without ratings."""
    rows = [
        ((vote.item.id, side), vote.item.question, vote.annotator, float(rating))
        for vote in votes
        for side, rating in (("a", vote.rating_a), ("b", vote.rating_b))
        if rating is not None
    ]
    if not rows:
        return None
    table = _matrix(rows)
    return alpha(table[0], "ordinal", clusters=table[1], seed=seed)


def _matrix(rows: Sequence[tuple[tuple[str, ...], str, str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Units by annotators with nan for what is missing, and each unit's question."""
    units = {unit: index for index, unit in enumerate(dict.fromkeys(row[0] for row in rows))}
    names = {name: index for index, name in enumerate(dict.fromkeys(row[2] for row in rows))}
    table = np.full((len(units), len(names)), np.nan)
    questions = np.empty(len(units), dtype=object)
    for unit, question, annotator, value in rows:
        table[units[unit], names[annotator]] = value
        questions[units[unit]] = question
    return table, questions.astype(str)


def _answers(votes: Sequence[Vote]) -> dict[str, Answer]:
    """An answer of each model, for its names; of several names the last."""
    return {one.sha256: one for vote in votes for one in (vote.item.a, vote.item.b)}


def _mean_ratings(votes: Sequence[Vote]) -> dict[str, float]:
    given: dict[str, list[int]] = defaultdict(list)
    names = _answers(votes)
    for vote in votes:
        for one, rating in ((vote.item.a, vote.rating_a), (vote.item.b, vote.rating_b)):
            if rating is not None:
                given[names[one.sha256].name].append(rating)
    return {name: sum(ratings) / len(ratings) for name, ratings in sorted(given.items())}


def _standings(fitted: Strengths, answers: dict[str, Answer]) -> list[Standing]:
    group_of = {model: number for number, group in enumerate(fitted.groups) for model in group}
    rows = [
        Standing(
            model=answers[sha].name,
            ref=answers[sha].ref,
            sha256=sha,
            score=float(fitted.scores[i]),
            interval=fitted.intervals[i],
            wins=int(fitted.wins[i].sum()),
            ties=int(fitted.ties[i].sum()),
            losses=int(fitted.wins[:, i].sum()),
            group=group_of[sha],
        )
        for i, sha in enumerate(fitted.models)
    ]
    return sorted(rows, key=lambda row: (row.group, -row.score, row.model))


def _notes(found: Judgement, fitted: Strengths, answers: dict[str, Answer]) -> list[str]:
    if not found.votes:
        return [f"no votes on {found.domain} yet: nothing can be said"]
    notes = []
    if found.enough < FEWEST_UNITS:
        notes.append(
            f"{found.enough} items have {ENOUGH} annotators or more, of {FEWEST_UNITS} that an interval of α needs: "
            "whether people agree cannot be said yet"
        )
    elif found.alpha.value is None:
        notes.append("α says nothing: all votes are the same")
    elif found.alpha.interval and found.alpha.interval.low < TENTATIVE:
        notes.append(
            f"α may be below {TENTATIVE}, under which Krippendorff draws no conclusions: read the order of the models as tentative"
        )
    if fitted.models and not any(fitted.intervals) and not fitted.unbounded:
        notes.append(f"fewer than {FEWEST_QUESTIONS} questions were judged: scores have no interval")
    if not fitted.connected:
        apart = "; ".join(", ".join(answers[sha].name for sha in group) for group in fitted.groups)
        notes.append(f"no vote connects these groups of models, so scores compare within a group only: {apart}")
    words = {"best": "never lost", "worst": "never won", "between": "never lost to some, and never won against others"}
    for sha, side in sorted(fitted.unbounded.items(), key=lambda pair: answers[pair[0]].name):
        notes.append(
            f"{answers[sha].name} {words[side]} outside of its like: votes set its distance no bound, the prior does"
        )
    if found.left_interval and not found.left_interval.low <= 0.5 <= found.left_interval.high:
        notes.append(f"votes favour a side of the page: {100 * (found.left_share or 0):.0f} % went to the left")
    return notes

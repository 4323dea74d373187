"""What `truemark export --fastest` measured, as a section of the leaderboard: read from results/DOMAIN/frontier/ADAPTER/."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truemark.errors import InvalidData

COLUMNS = ["format", "MB", "KL", "Δ score [95 % CI]", "tok/s", "at 16", "peak RSS MB", "mark"]


@dataclass(frozen=True)
class Frontier:
    """The formats of one adapter on one machine."""

    adapter: str
    machine: str
    recommended: str | None
    max_loss: float
    rows: list[dict[str, Any]]
    """format, mb, kl, difference, state, tokens_per_second, peak_rss_mb, keeps_score; a failed export has fewer."""
    picture: str
    """The plot as a data URI."""

    def cells(self) -> list[list[str]]:
        """A table under COLUMNS, in the order of the rows: fastest first."""
        return [_cells(row, row["format"] == self.recommended) for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        """Without the picture."""
        return {
            "adapter": self.adapter,
            "machine": self.machine,
            "recommended": self.recommended,
            "max_loss": self.max_loss,
            "rows": self.rows,
        }


def read_frontiers(results: Path, domain: str) -> list[Frontier]:
    """All frontiers of a domain, by the adapter's name. Raises InvalidData for a file that is not one."""
    found = []
    for path in sorted(results.glob(f"{domain}/frontier/*/frontier.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            picture = base64.b64encode(path.with_suffix(".png").read_bytes()).decode()
            one = Frontier(
                str(content["adapter"]),
                str(content["machine"]),
                content["recommended"],
                float(content["max_loss"]),
                content["rows"],
                f"data:image/png;base64,{picture}",
            )
            one.cells()  # whatever is wrong with a row is said here, by the file's name
            found.append(one)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InvalidData(
                f"{path} is not a frontier: {error!r}", mend="truemark export ADAPTER --fastest"
            ) from None
    return found


def _cells(row: dict[str, Any], recommended: bool) -> list[str]:
    speed = row.get("tokens_per_second") or {}
    gap = row.get("difference")
    return [
        f"{row['format']}{' ← recommended' if recommended else ''}",
        f"{row['mb']:.0f}",
        f"{row['kl']:.1e}" if "kl" in row else "",
        f"{100 * gap['mean']:+.1f} [{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]" if gap else "",
        f"{speed['1']:.0f}" if speed else "",
        f"{speed['16']:.0f}" if speed else "",
        f"{row['peak_rss_mb']:.0f}" if "peak_rss_mb" in row else "",
        "FAILED" if row["state"] == "failed" else str(row["state"]),
    ]

"""Models that are not fetched without a licence: what their owner asks, said before anything is downloaded, and what went wrong when one is.

`gated.yaml` names the known families; of any other the Hub's own answer (401, 403) is explained.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from truemark.errors import ModelNotFound

TABLE = Path(__file__).parent / "gated.yaml"


@dataclass(frozen=True)
class Family:
    """A row of gated.yaml."""

    model: str
    licence: str
    page: str
    asks: str


@lru_cache
def families() -> tuple[Family, ...]:
    """The known gated families."""
    return tuple(Family(**row) for row in yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def family(name: str) -> Family | None:
    """That of a Hub model OWNER/NAME, where it is known to be gated."""
    return next((row for row in families() if fnmatch.fnmatchcase(name.lower(), row.model.lower())), None)


def explained(name: str) -> str:
    """What is asked before `name` may be fetched; empty for a model that is not known to be gated."""
    found = family(name)
    return f"{name} is gated, under {found.licence} ({found.page}): {found.asks}" if found else ""


def steps(target: str) -> str:
    """The commands that lead to a gated model OWNER/NAME[@REVISION]."""
    name = target.partition("@")[0]
    return (
        f"1. accept the licence on the page of {name} on the Hub, logged in\n    2. hf auth login   (or set HF_TOKEN)\n"
        f"    3. truemark models pull hf:{target}"
    )


def not_here(target: str, reason: str) -> ModelNotFound:
    """The error for a Hub model that is not in the local cache."""
    words = explained(target.partition("@")[0])
    return ModelNotFound(
        f"hf:{target} is not in the local Hub cache ({reason})" + (f"; {words}" if words else ""),
        mend=steps(target) if words else f"truemark models pull hf:{target}",
    )


def refused(target: str, error: Exception) -> ModelNotFound:
    """The error for a download that failed, by what the Hub or the network answered."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, _, revision = target.partition("@")
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError) or (status in (401, 403) and family(name)):
        words = explained(name) or f"{name} is gated: its owner asks you to accept a licence first"
        told = "you are not logged in" if status == 401 else "your account has no access yet"
        return ModelNotFound(f"{words}. The Hub refused it: {told}", mend=steps(target))
    if isinstance(error, RevisionNotFoundError):
        return ModelNotFound(f"{name} has no revision '{revision}' on the Hub", mend=f"truemark models pull hf:{name}")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403, 404):
        return ModelNotFound(
            f"the Hub has no {name}, or it is private and you are not logged in ({status})",
            mend="check the name; for a private model: hf auth login",
        )
    if isinstance(error, HFValidationError):
        return ModelNotFound(f"'{name}' is not a name on the Hub: expected OWNER/NAME")
    if isinstance(error, OfflineModeIsEnabled):
        return ModelNotFound(
            f"cannot fetch {name}: HF_HUB_OFFLINE is set", mend=f"HF_HUB_OFFLINE=0 truemark models pull hf:{target}"
        )
    if isinstance(error, LocalEntryNotFoundError) or status is None:
        return ModelNotFound(
            f"cannot fetch {name}: the Hub cannot be reached ({type(error).__name__})",
            mend="check the network, or copy the model's directory here and name its path",
        )
    return ModelNotFound(f"cannot fetch {name}: the Hub answered {status}", mend="try again later")

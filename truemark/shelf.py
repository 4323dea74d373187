"""Where a user's adapters lie when no path is given: `runs/` (trained here) and `adapters/` (shipped with the house)."""

from __future__ import annotations

from pathlib import Path

from truemark import artifacts
from truemark.errors import InvalidArtifact, ModelNotFound

SHELVES = (Path("runs"), Path("adapters"), Path(__file__).parent.parent / "adapters")
"""What was trained here comes before what ships. The first two are relative to the working directory, the last lies in the checkout."""


def newest_adapter(domain: str) -> Path:
    """The adapter artifact of `domain` made last, of the first shelf that has one. Raises ModelNotFound with the command that makes one."""
    for shelf in SHELVES:
        found = []
        for manifest in sorted(shelf.glob(f"*/{artifacts.MANIFEST}")):
            try:
                artifact = artifacts.open_artifact(manifest.parent, verify=False)  # whoever loads it verifies it
            except InvalidArtifact:
                continue
            if artifact.manifest.kind == "adapter" and artifact.manifest.domain == domain:
                found.append((artifact.manifest.created, str(artifact.path)))
        if found:
            return Path(max(found)[1])
    looked = ", ".join(str(shelf.absolute()) for shelf in SHELVES)
    raise ModelNotFound(f"no {domain} adapter: looked in {looked}", mend=f"truemark train {domain}")

"""The canary: proof that an adapter is applied, taken when the engine starts and again after each restart.

The same prompt tokens are put to the bare base and to the base with the adapter; the next token's log-probabilities
must differ. An adapter that was accepted and silently does nothing leaves them equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from serve.catalog import Catalog
from serve.engines.base import Engine
from truemark.chat import render
from truemark.errors import InvalidArtifact

PROBES = ("Solve for x: 3x + 7 = 22", "Write one sentence about the sea.")
MIN_SHIFT = 1e-3
"""Nats. Arithmetic noise between two runs of one model is 0 here; a trained adapter shifts by 0.1 to 10."""


@dataclass(frozen=True)
class Proof:
    """What the canary saw of one adapter."""

    shift: float
    """Largest change of a log-probability among the likeliest next tokens, in nats, over the probes."""


async def prove(engine: Engine, catalog: Catalog) -> dict[str, Proof]:
    """A proof for every adapter by name. Raises InvalidArtifact for one that changes nothing."""
    proofs = {}
    for name in catalog.adapters:
        template = catalog.models[name].template or engine.info.chat_template
        shift = 0.0
        for probe in PROBES:
            text = render(
                template,
                [{"role": "user", "content": probe}],
                bos_token=engine.info.bos_token,
                eos_token=engine.info.eos_token,
            )
            ids = await engine.tokenize(text)
            shift = max(shift, distance(await engine.logprobs(ids, None), await engine.logprobs(ids, name)))
        if shift < MIN_SHIFT:
            raise InvalidArtifact(
                f"adapter '{name}' changes nothing: with and without it the next-token log-probabilities differ by "
                f"{shift:.1e} nats at most (expected at least {MIN_SHIFT})",
                mend="train it again, or remove it from --adapter",
            )
        proofs[name] = Proof(shift)
    return proofs


def distance(left: dict[int, float], right: dict[int, float]) -> float:
    """Largest difference of two top-k lists; a token outside one list counts with that list's lowest value."""
    if not left or not right:
        return 0.0
    floors = min(left.values()), min(right.values())
    return max(abs(left.get(i, floors[0]) - right.get(i, floors[1])) for i in left.keys() | right.keys())

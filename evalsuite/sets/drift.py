"""What lies outside a domain, for the metric `drift`: dev examples of the other domains, and plain requests about their questions.

All of it is made from what ships, with one seed, so everyone's set of a version is the same; its hash stands in the row. Each question brings its
system prompt, so that base and adapter read the same words, whatever an adapter's template would put there.
"""

from __future__ import annotations

from collections.abc import Sequence

import domains
from domains.base import Domain, Example, Verdict, asked
from evalsuite.data import sample
from evalsuite.sets import general
from evalsuite.sets.base import ExampleSet

EACH = 12
"""Examples of each other domain."""
SEED = 7


class Outside(ExampleSet):
    name = "drift"
    metric = "drift"
    title = "Drift"
    about = "questions outside the domain: what the adapter made worse or better, against its base"
    against_base = True
    own_prompts = True

    def examples(self, test: Sequence[Example]) -> list[Example]:
        """EACH of every other domain's dev set, and the plain requests; the test set plays no part."""
        found: list[Example] = []
        stock: list[Example] = []
        for name in domains.DOMAINS:
            if name != self.domain:
                room = domains.get(name)
                dev = room.build(SEED, 1)["dev"]
                found += [_outside(room, example) for example in sample(dev, EACH)]
                stock += dev
        return [*found, *general.examples(stock, SEED)]

    def check(self, prediction: str, example: Example) -> Verdict:
        """By the domain that the example is of."""
        name = example["meta"]["slice"]
        return (
            general.check(prediction, example) if name == general.NAME else domains.get(name).check(prediction, example)
        )


def _outside(room: Domain, example: Example) -> Example:
    messages = asked(example)
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": room.SYSTEM_PROMPT}, *messages]
    meta = {
        **example["meta"],
        "slice": room.NAME,
        "family": f"{room.NAME}.{example['meta'].get('family', example['id'])}",
    }
    closing = example["messages"][len(asked(example)) :]
    return {"id": example["id"], "messages": [*messages, *closing], "reference": example["reference"], "meta": meta}

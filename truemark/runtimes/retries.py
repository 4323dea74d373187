"""When an endpoint is asked again, and how much it may cost: back-off with jitter, and caps in tokens and money."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from truemark.errors import EngineError, InvalidData

FIRST_WAIT = 0.5
"""Seconds before the second try; doubled for each further one."""
LONGEST_WAIT = 60.0
"""Seconds: no wait of our own is longer, and one that the endpoint asks for beyond it is not waited out."""


class NoAnswer(EngineError):
    """One question that an endpoint did not answer, after all tries. Others may be answered."""

    def __init__(
        self, message: str, *, mend: str | None = None, again: bool = False, after: float | None = None
    ) -> None:
        super().__init__(message, mend=mend)
        self.again = again
        """Whether another try may help."""
        self.after = after
        """Seconds that the endpoint asks to wait before it."""


class BudgetSpent(EngineError):
    """A cap on tokens or money leaves no room for another question."""


def wait_before(try_: int, after: float | None) -> float | None:
    """Seconds to wait before retry `try_` (from 1); None where the endpoint asks for more than LONGEST_WAIT.

    Exponential with "equal jitter": between half and all of the doubled wait, so that many clients do not come back at once
    (Brooker 2015, Exponential Backoff and Jitter, AWS Architecture Blog). Never less than the endpoint asked for.
    """
    own = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (try_ - 1)) * random.uniform(0.5, 1)
    if after is None:
        return own
    return None if after > LONGEST_WAIT else after + min(own, FIRST_WAIT)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3)."""
    try:
        if "retry-after-ms" in headers:
            return max(float(headers["retry-after-ms"]) / 1000, 0.0)
        if "retry-after" not in headers:
            return None
        value = headers["retry-after"]
        try:
            seconds = float(value)
        except ValueError:
            when = parsedate_to_datetime(value)
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()
        return max(seconds, 0.0) if seconds < float("inf") else None  # nan and inf are no wait
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass
class Spending:
    """What a question costs at most before it is asked, and what it did cost after."""

    tokens_in: int
    tokens_out: int


@dataclass
class Budget:
    """Caps over all questions of a command. Room for the dearest answer is set aside before a question is asked.

    So a cap is never exceeded, but for what an endpoint adds to a prompt unseen (a system prompt in its template). A question waits
    while others that are under way hold the room it needs.
    """

    tokens: int | None = None
    """Prompt and answer together."""
    usd: float | None = None
    price_in: float = 0.0
    """US dollars per million prompt tokens."""
    price_out: float = 0.0
    spent_in: int = 0
    spent_out: int = 0
    guessed: int = 0
    """Tries whose usage nobody told: booked at what they could cost at most."""
    _held: list[Spending] = field(default_factory=list, repr=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def __post_init__(self) -> None:
        """Raises InvalidData for a cap or price below zero, and for a cap on money without prices."""
        for name, value in (("tokens", self.tokens), ("usd", self.usd), ("price in", self.price_in), ("price out", self.price_out)):  # fmt: skip
            if value is not None and not 0 <= value < float("inf"):
                raise InvalidData(f"expected a budget's {name} of 0 or more, found {value}")
        if self.usd is not None and not (self.price_in or self.price_out):
            raise InvalidData(
                "a budget in money needs prices", mend="add --price-in USD --price-out USD, per million tokens"
            )

    @property
    def spent_usd(self) -> float:
        """US dollars so far, by the prices given."""
        return self._cost(self.spent_in, self.spent_out)

    def report(self) -> str:
        """What has been spent, in words."""
        money = f", {self.spent_usd:.4f} USD" if self.price_in or self.price_out else ""
        guessed = f" ({self.guessed} tries did not tell theirs and are booked at the most)" if self.guessed else ""
        return f"endpoints took {self.spent_in} tokens and wrote {self.spent_out}{money}{guessed}"

    @contextmanager
    def room_for(self, tokens_in: int, tokens_out: int) -> Iterator[Spending]:
        """Hold the room for one try; the block writes what it did cost into the value. Raises BudgetSpent when there is none."""
        most = Spending(tokens_in, tokens_out)
        with self._changed:
            while not self._fits(most):
                if not self._held:
                    raise BudgetSpent(
                        self._spent(), mend="raise the budget, then run the same command: answers are kept"
                    )
                self._changed.wait()
            self._held.append(most)
        cost = Spending(tokens_in, tokens_out)
        try:
            yield cost
        finally:
            with self._changed:
                self._held = [held for held in self._held if held is not most]
                self.spent_in += cost.tokens_in
                self.spent_out += cost.tokens_out
                self.guessed += (cost.tokens_in, cost.tokens_out) == (tokens_in, tokens_out)
                self._changed.notify_all()

    def _fits(self, most: Spending) -> bool:
        tokens_in = self.spent_in + most.tokens_in + sum(held.tokens_in for held in self._held)
        tokens_out = self.spent_out + most.tokens_out + sum(held.tokens_out for held in self._held)
        enough = self.tokens is None or tokens_in + tokens_out <= self.tokens
        return enough and (self.usd is None or self._cost(tokens_in, tokens_out) <= self.usd)

    def _cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def _spent(self) -> str:
        caps = [f"{self.tokens} tokens"] if self.tokens is not None else []
        caps += [f"{self.usd} USD"] if self.usd is not None else []
        return f"the budget of {' and '.join(caps)} has no room for another question: {self.report()}"

"""Every error a user can meet, with its exit code.

    TruemarkError                exit 2   bad input or usage
    ├── UnknownName                       a name that is not in a table: nearest suggestion and the list
    ├── InvalidConfig                     a recipe or settings file; all its errors at once
    ├── InvalidArtifact                   missing, half-written or changed artifact; unsafe file inside one
    ├── InvalidData                       a dataset or predictions file that cannot be read as one
    ├── ModelNotFound                     a model reference that resolves to nothing; says where it looked
    ├── StorageError                      disk full, unwritable directory
    ├── PortInUse                         a server cannot bind its port
    ├── EngineError                       an inference engine died, or answered with an error
    ├── CheckFailed              exit 1   a mark, an evaluation or a verdict did not pass
    └── MissingDependency        exit 3   an extra or a system package is absent; says the install line

A message says what was expected, what was found, and (`mend`) the command that mends it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import partial
from typing import Any


class TruemarkError(Exception):
    """Root of all errors that are shown to a user as one line, without a traceback."""

    exit_code = 2

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.mend}" if self.mend else self.message


class UnknownName(TruemarkError):
    """`name` is not one of `known`."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, mend: str | None = None) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown {what} '{name}': {hint}known are: {', '.join(names)}", mend=mend)
        self._given = (what, name, names)

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it survives the way from another process, which would call it with the message alone."""
        return partial(type(self), mend=self.mend), self._given


class InvalidConfig(TruemarkError):
    """A configuration file with one or more errors, all reported at once."""


class InvalidArtifact(TruemarkError):
    """An artifact directory that is missing, half-written, changed, or unsafe to read."""


class InvalidData(TruemarkError):
    """A dataset or predictions file that cannot be read as one."""


class ModelNotFound(TruemarkError):
    """A model reference that resolves to nothing on this machine."""


class StorageError(TruemarkError):
    """A write failed: disk full, no permission, not a directory."""


class PortInUse(TruemarkError):
    """A server cannot bind its port."""


class EngineError(TruemarkError):
    """An inference engine died or answered with an error."""


class CheckFailed(TruemarkError):
    """A mark or verdict that did not pass."""

    exit_code = 1


class MissingDependency(TruemarkError):
    """A Python extra or a system package is absent."""

    exit_code = 3

    @classmethod
    def extra(cls, module: str, extra: str) -> MissingDependency:
        """The error for a missing optional extra of this project, e.g. `extra("gradio", "demo")`."""
        return cls(f"'{module}' is not installed", mend=f"pip install 'truemark[{extra}]'   (or: make install)")

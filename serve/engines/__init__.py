"""Engines: what turns tokens into tokens. One file each, one row each in ENGINES."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from serve.engines.base import Engine
from truemark.errors import UnknownName
from truemark.models import ModelRef

ENGINES = {
    "llamacpp": "serve.engines.llamacpp:LlamaCppEngine",
    "llamacpp-embed": "serve.engines.llamacpp_embed:LlamaCppEmbedEngine",
}


def create(name: str, base: ModelRef, adapters: Mapping[str, ModelRef]) -> Engine:
    """An engine for `base` and its adapters by served name, prepared (files converted) but not started.

    Raises UnknownName, MissingDependency, and what the engine says of a file that it cannot take.
    """
    if name not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(base, adapters)
    return engine

"""Which models are served under which names: `--base` and `--adapter NAME=PATH`, checked before any engine starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from truemark import chat
from truemark.errors import InvalidArtifact, ModelNotFound, TruemarkError
from truemark.models import ModelRef, resolve

DEFAULT_BASE = "smollm2-135m"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # `:` and `@` are kept for variants of a name


@dataclass(frozen=True)
class ServedModel:
    """One row of `/v1/models`."""

    name: str
    ref: ModelRef
    adapter: str | None
    """The adapter's name at the engine; None for the bare base."""
    template: str | None
    """The chat template; None where the base's own (which the engine tells) is used."""
    created: int = 0
    """Unix time at which the artifact was made; 0 where unknown."""

    @property
    def domain(self) -> str | None:
        """The domain that the adapter was trained for."""
        return self.ref.artifact.manifest.domain if self.ref.artifact else None


@dataclass(frozen=True)
class Catalog:
    """The base and its adapters."""

    base: ServedModel
    models: Mapping[str, ServedModel]
    """By name, adapters first, the base last."""

    @property
    def adapters(self) -> dict[str, ModelRef]:
        """References of the adapters by name."""
        return {name: model.ref for name, model in self.models.items() if model.adapter is not None}


def read(adapters: Sequence[str], base: str | None = None) -> Catalog:
    """The catalog of `NAME=PATH` words on `base` (default: the base that the adapters' manifests name).

    Raises TruemarkError for a bad word or name, ModelNotFound, InvalidArtifact for what cannot be served.
    """
    found: dict[str, ModelRef] = {}
    for word in adapters:
        name, path = _split(word)
        if name in found:
            raise TruemarkError(f"two adapters are named '{name}'", mend=f"--adapter {name}-2={path}")
        found[name] = _adapter(path)
    base_ref = _base(found, base)
    base_name = base_ref.path.stem if base_ref.kind == "gguf" and base_ref.path else base_ref.text
    if base_name in found:
        raise TruemarkError(f"'{base_name}' is the base's own name", mend="give the adapter another name")
    base_model = ServedModel(base_name, base_ref, adapter=None, template=None)
    models = {name: _served(name, ref) for name, ref in found.items()}
    return Catalog(base_model, {**models, base_name: base_model})


def _split(word: str) -> tuple[str, str]:
    name, equals, path = word.partition("=")
    if not equals or not path or not _NAME.fullmatch(name):
        raise TruemarkError(
            f"--adapter {word}: expected NAME=PATH with a name of letters, digits, '.', '_' and '-'",
            mend="--adapter math=runs/math-smollm2",
        )
    return name, path


def _adapter(path: str) -> ModelRef:
    ref = resolve(path)
    if ref.kind not in ("adapter", "lora-gguf"):
        raise ModelNotFound(
            f"{path} is not an adapter: expected a PEFT adapter or a lora-gguf export, found {_described(ref)}",
            mend="serve the adapter that it was made from",
        )
    if ref.artifact and ref.artifact.manifest.failed:
        raise InvalidArtifact(
            f"{path} is an export whose mark failed: it is not served", mend=f"truemark verify {path}"
        )
    return ref


def _described(ref: ModelRef) -> str:
    return f"a {ref.artifact.manifest.format} export (a model of its own)" if ref.artifact else f"a {ref.kind}"


def _base(adapters: Mapping[str, ModelRef], wanted: str | None) -> ModelRef:
    """The base of every adapter, verified by hash against each manifest; raises when they disagree."""
    base = resolve(wanted) if wanted else None
    for name, ref in adapters.items():
        if ref.artifact is None:
            continue
        own = ref.base()
        if base is not None and own.weights_sha256() != base.weights_sha256():
            raise ModelNotFound(
                f"adapter '{name}' was trained on {own.text}, not on {base.text}: one server holds one base",
                mend="start another server for it, on another --port",
            )
        base = base or own
    return base or resolve(DEFAULT_BASE)


def _served(name: str, ref: ModelRef) -> ServedModel:
    directory = ref.local_path()
    directory = directory if directory.is_dir() else directory.parent
    created = 0
    if ref.artifact and ref.artifact.manifest.created:
        from datetime import datetime

        created = int(datetime.fromisoformat(ref.artifact.manifest.created).timestamp())
    return ServedModel(name, ref, adapter=name, template=_template(directory, ref), created=created)


def _template(directory: Path, ref: ModelRef) -> str | None:
    """The adapter's own template. A foreign PEFT adapter may bring none; one of ours must."""
    try:
        return chat.read_template(directory)
    except InvalidArtifact:
        if ref.artifact is not None:
            raise
        return None

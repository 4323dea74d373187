"""A model is named by one string everywhere; this file turns that string into what lies behind it, offline first.

smollm2-135m                        alias of the embedded base (a row in ALIASES)
hf:OWNER/NAME[@REVISION]            a Hub model already in the local cache (`truemark models pull` fetches it)
runs/math-smollm2                   an artifact (adapter or export), a PEFT adapter, or a HF checkpoint directory
gguf:FILE                           a GGUF file
openai:MODEL                        any OpenAI-compatible endpoint (base URL and key from flags or environment)
t5:OWNER/NAME[@REVISION]            a seq2seq baseline in the local cache; or t5:PATH
rule:NAME                           a trivial baseline
none                                no base: what a recipe from scratch stands on
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from truemark import access, artifacts, embedded
from truemark.artifacts import Artifact
from truemark.errors import ModelNotFound, TruemarkError

Kind = Literal[
    "checkpoint",
    "adapter",
    "gguf",
    "lora-gguf",
    "onnx",
    "torchscript",
    "pt2",
    "mlx",
    "openai",
    "t5",
    "rule",
    "scorer",
    "model",
    "none",
]
_RUN_BY_THEIR_OWN = ("gguf", "onnx", "torchscript", "pt2", "mlx")
"""First words of export formats that name a kind; every other export is a checkpoint that transformers loads."""
NONE = "none"
"""The base of what stands on no base: a model from scratch."""
ALIASES = {"smollm2-135m": embedded.SMOLLM2}


@dataclass(frozen=True)
class ModelRef:
    """A resolved model reference."""

    text: str
    """The reference as the user wrote it."""
    kind: Kind
    target: str = ""
    """What follows the scheme: Hub name, endpoint model, rule name."""
    path: Path | None = None
    """Directory (checkpoint, adapter) or file (gguf, lora-gguf) on this machine."""
    artifact: Artifact | None = field(default=None, compare=False)
    embedded: embedded.EmbeddedBase | None = None
    """Set for an alias of an embedded base; `path` is then None until `local_path()` converts it."""

    @property
    def label(self) -> str:
        """Short unique name for tables: the artifact's id, else the reference."""
        return self.artifact.id if self.artifact else self.text

    @property
    def levels(self) -> list[str]:
        """The domain's levels that the adapter behind it was trained on; empty for all."""
        return self.artifact.manifest.levels if self.artifact else []

    def local_path(self) -> Path:
        """The directory or file that a runtime loads; converts the embedded base on first use.

        Raises ModelNotFound for references that live behind an endpoint.
        """
        if self.path is not None:
            return self.path
        if self.embedded is not None:
            return self.embedded.checkpoint()
        if self.kind == "t5":
            return _hub_snapshot(self.target)
        raise ModelNotFound(f"'{self.text}' has no local files")

    def base(self) -> ModelRef:
        """The base model of an adapter or export, verified against the hash in its manifest."""
        if self.artifact is None:
            raise ModelNotFound(f"'{self.text}' is not an artifact with a manifest: its base is unknown")
        wanted = self.artifact.manifest.base
        base = resolve(wanted.ref)
        found = base.weights_sha256()
        if found != wanted.sha256:
            raise ModelNotFound(
                f"the base of {self.label} is {wanted.ref} with weights {wanted.sha256[:12]}, "
                f"but {wanted.ref} here has {found[:12]}: another revision",
                mend="train again on this base, or install the revision named in truemark.json",
            )
        return base

    def weights_sha256(self) -> str:
        """Hash that identifies the weights: of the embedded file, the artifact, the GGUF file or the safetensors."""
        from truemark.files import sha256_file, sha256_json

        if self.embedded is not None:
            return self.embedded.sha256
        if self.artifact is not None:
            return self.artifact.sha
        if self.kind == "none":
            return ""
        path = self.local_path()
        if path.is_file():
            return sha256_file(path)
        return sha256_json({file.name: sha256_file(file) for file in sorted(path.glob("*.safetensors"))})


def resolve(ref: str | Path) -> ModelRef:
    """Resolve a model reference without touching the network.

    Raises ModelNotFound saying where it looked, InvalidArtifact for a broken artifact directory.
    """
    text = str(ref).strip()
    scheme, _, rest = text.partition(":")
    if text == NONE:
        return ModelRef(text, "none")
    if text in ALIASES:
        return ModelRef(text, "checkpoint", embedded=ALIASES[text])
    if scheme == "t5" and rest:
        here = Path(rest).expanduser()
        return ModelRef(text, "t5", target=rest, path=here if here.is_dir() else None)
    if scheme in ("openai", "rule") and rest:
        return ModelRef(text, scheme, target=rest)  # type: ignore[arg-type]
    if scheme == "hf" and rest:
        return ModelRef(text, "checkpoint", target=rest, path=_hub_snapshot(rest))
    if scheme == "gguf" and rest:
        return ModelRef(text, "gguf", path=_existing_gguf(Path(rest).expanduser(), text))
    path = Path(text).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return ModelRef(text, "gguf", path=_existing_gguf(path, text))
    if path.is_dir():
        return _resolve_directory(text, path)
    import difflib

    close = difflib.get_close_matches(text, ALIASES, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise ModelNotFound(
        f"no model '{text}': not an alias ({', '.join(ALIASES)}), not a path (looked at {path.absolute()}), "
        f"and no scheme of hf: gguf: openai: t5: rule:{hint}",
        mend="truemark models",
    )


def _resolve_directory(text: str, path: Path) -> ModelRef:
    if artifacts.is_artifact(path):
        artifact = artifacts.open_artifact(path)
        artifacts.refuse_unsafe_files(path)
        return of_artifact(artifact, text)
    if (path / "adapter_config.json").is_file():
        artifacts.refuse_unsafe_files(path)
        return ModelRef(text, "adapter", path=path)
    if (path / "config.json").is_file():
        artifacts.refuse_unsafe_files(path)
        return ModelRef(text, "checkpoint", path=path)
    raise ModelNotFound(f"{path} is not a model: expected truemark.json, adapter_config.json or config.json in it")


def of_artifact(artifact: Artifact, text: str | None = None) -> ModelRef:
    """The reference of an opened artifact (or of a draft of one). Raises ModelNotFound when its GGUF file is not there."""
    manifest, path = artifact.manifest, artifact.path
    kind: Kind = "checkpoint"
    if manifest.kind in ("adapter", "scorer", "model"):
        kind = manifest.kind
    elif manifest.format == "lora-gguf":
        kind = "lora-gguf"
    elif (first := manifest.format.split("-")[0]) in _RUN_BY_THEIR_OWN:
        kind = first  # type: ignore[assignment]
    file = _one_gguf(path) if kind.endswith("gguf") else path
    return ModelRef(text or str(path), kind, path=file, artifact=artifact)


def _existing_gguf(path: Path, text: str) -> Path:
    if not path.is_file():
        raise ModelNotFound(f"no GGUF file at {path.absolute()} (from '{text}')")
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic != b"GGUF":
        raise ModelNotFound(f"{path} is not a GGUF file: it starts with {magic!r}, expected b'GGUF'")
    return path


def _one_gguf(path: Path) -> Path:
    files = sorted(path.glob("*.gguf"))
    if len(files) != 1:
        raise ModelNotFound(f"expected one .gguf file in {path}, found {len(files)}")
    return files[0]


def _hub_snapshot(target: str) -> Path:
    name, _, revision = target.partition("@")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        from truemark.errors import MissingDependency

        raise MissingDependency.extra("huggingface_hub", "train") from None
    try:
        return Path(snapshot_download(name, revision=revision or None, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError) as error:
        raise access.not_here(target, type(error).__name__) from None


def require_weights(ref: ModelRef) -> None:
    """Raise ModelNotFound for a checkpoint directory with a configuration and no weights."""
    if ref.embedded is None and ref.path is not None and ref.path.is_dir() and not any(ref.path.glob("*.safetensors")):
        pull = (
            f"truemark models pull {ref.text}" if ref.text.startswith("hf:") else "save the model there as safetensors"
        )
        raise ModelNotFound(f"{ref.text} has no weights (*.safetensors) in {ref.path}", mend=pull)


def configuration(ref: str) -> Path:
    """A directory with the `config.json` behind a reference: of a Hub model that alone may be in the cache. Raises ModelNotFound as `resolve`."""
    try:
        return resolve(ref).local_path()
    except ModelNotFound:
        scheme, _, target = ref.partition(":")
        if scheme != "hf":
            raise
        from huggingface_hub import try_to_load_from_cache

        name, _, revision = target.partition("@")
        found = try_to_load_from_cache(name, "config.json", revision=revision or None)
        if not isinstance(found, str):
            raise
        return Path(found).parent


def describe_base(ref: ModelRef) -> artifacts.Base:
    """The manifest entry for a base model."""
    if ref.embedded is not None:
        return artifacts.Base(
            ref=ref.text, sha256=ref.embedded.sha256, licence=ref.embedded.licence, access=ref.embedded.access
        )
    if ref.kind == "none":
        return artifacts.Base(ref=NONE, sha256="", licence="none")
    if ref.kind != "checkpoint":
        raise TruemarkError(f"'{ref.text}' cannot be a base: expected a checkpoint, found {ref.kind}")
    gated = access.family(ref.target.partition("@")[0])
    known = {"licence": gated.licence, "access": gated.asks} if gated else {}
    return artifacts.Base(ref=ref.text, sha256=ref.weights_sha256(), **known)

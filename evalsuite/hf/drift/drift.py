"""The metric drift for Hugging Face's `evaluate` (evalsuite/hf/__init__.py)."""

from evalsuite.hf.module import class_of

Module = class_of("drift")

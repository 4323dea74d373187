"""Demos: a Gradio page per domain, talking to `serve` over HTTP like anyone else."""

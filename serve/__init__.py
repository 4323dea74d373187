"""Serving: engines behind one OpenAI-compatible gateway."""

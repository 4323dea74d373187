"""Training: data → adapter."""

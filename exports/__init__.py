"""Exports: adapter → what a user ships, each with its mark."""

"""Chosen sentences side by side: how each system came to its translation."""

"""Measurements of translations and models; one module a question."""

"""Translations and slots against several references."""

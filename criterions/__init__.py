"""Criterions: thin; each chooses an alignment, adds the model's other losses, normalises and logs."""

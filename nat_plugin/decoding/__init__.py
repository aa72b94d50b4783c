"""How a canvas becomes a sentence."""

"""How sure a model is of the positions of its tokens."""

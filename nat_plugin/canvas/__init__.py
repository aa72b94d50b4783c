"""What the decoder sees: how many slots there are and what fills them. Pure torch."""

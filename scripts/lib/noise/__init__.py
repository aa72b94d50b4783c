"""How much of its quality a trained model loses when a part of what it sees is noise (Guo et al. 2020)."""

"""Log-likelihood and BLEU on the plane through three checkpoints (Huang et al. 2022, Figure 1)."""

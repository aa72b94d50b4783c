"""What proxy inputs and proxy targets cost, and how that goes with BLEU (Huang et al. 2022)."""

"""Several targets for each source, from which training chooses (Dynamic KD; Huang et al. 2022, §3.4)."""

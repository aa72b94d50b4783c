"""Is the encoder or the decoder harder to train? The preliminary study of Guo et al. 2020, §3."""

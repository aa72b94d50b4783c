"""What a trained model's latent variable has learned."""

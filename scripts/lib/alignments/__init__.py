"""What the alignments of a trained model's predictions look like."""

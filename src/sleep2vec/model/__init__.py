"""From tensors to embeddings: no labels, and no files but the checkpoint."""

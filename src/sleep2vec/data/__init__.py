"""From stores to batches; the lowest folder that knows tensors."""

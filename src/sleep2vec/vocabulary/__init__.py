"""The words every folder speaks: no files, no tensors, nothing that needs more than numpy."""

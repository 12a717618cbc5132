"""The loop: sees only a step that turns a batch into a loss and numbers."""

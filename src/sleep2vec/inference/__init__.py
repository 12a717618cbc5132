"""From a night to a result."""

"""From a YAML file to a checked object to a run."""

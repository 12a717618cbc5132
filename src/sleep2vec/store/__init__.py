"""Harmonised nights on disk: strict, versioned, safe against a kill at any moment."""

"""From nights with a known truth to tables."""

"""Nights whose truth is known: a person sleeps, sensors of a site record, things go wrong on request."""

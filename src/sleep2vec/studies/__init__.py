"""Questions asked of the whole system, as runs that anybody can repeat."""

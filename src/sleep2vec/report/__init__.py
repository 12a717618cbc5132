"""Plain results in, pages for people out: self-contained, printable, no network."""

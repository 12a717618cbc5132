"""From a recording, as a clinic's device wrote it, to a night on the token grid. Arrays in, arrays out."""

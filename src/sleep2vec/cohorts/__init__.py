"""What is particular to a public cohort, as data (one YAML each), and the catalog that reads it."""

"""Edition → findings."""

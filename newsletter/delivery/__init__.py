"""Each reader once."""

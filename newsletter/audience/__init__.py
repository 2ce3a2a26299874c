"""Who receives, and by what right."""

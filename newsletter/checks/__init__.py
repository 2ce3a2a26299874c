"""What could embarrass us, said before the issue leaves: one small pure function for each check."""

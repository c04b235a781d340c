"""The real processes, started as a user starts them, on data of their own."""

"""The suite mirrors `apps/`; it runs on embedded engines of its own (`engines`)."""

"""Commands on check state and incidents: evaluation, heartbeats, and what people do to checks and incidents."""

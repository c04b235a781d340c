"""What it means: the state machine, check state, incidents and their events (the outbox). Tells nobody."""

"""The meaning of results: state machine, check state, incidents and their events (the outbox).

Sends no messages itself.
"""

"""Writes to channels, e-mail addresses and deliveries, and the expansion of the outbox."""

"""Acts on channels, on the outbox and on deliveries."""

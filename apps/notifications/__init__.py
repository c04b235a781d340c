"""Who is told: channels and deliveries. Decides nothing about checks."""

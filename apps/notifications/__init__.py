"""Notifications: channels and deliveries. Nothing here decides about checks or incidents."""

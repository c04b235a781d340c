"""The face for people: pages, no models, no decisions."""

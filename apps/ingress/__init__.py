"""The HTTP endpoint for pings of heartbeats. It bypasses Django's middleware: no models, no session, no pages."""

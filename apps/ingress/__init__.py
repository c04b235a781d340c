"""The quick door for pings of heartbeats: no models, no session, no page."""

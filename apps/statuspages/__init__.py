"""Public status pages: their models, views and cache. Nothing here needs a session."""

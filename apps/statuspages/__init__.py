"""Public status pages: their models, views and cache come to live here, and nothing that needs a session."""

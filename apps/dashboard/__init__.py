"""The dashboard: pages for people. No models and no decisions, which are the services'."""

"""Tenants: users, organizations, members and their roles, projects, API keys. Knows nothing of what is watched."""

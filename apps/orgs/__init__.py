"""Tenants: users, organizations, members and their roles, projects, API keys, and the audit log.

Nothing here knows about monitoring.
"""

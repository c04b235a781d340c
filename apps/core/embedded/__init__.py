"""The PostgreSQL and Valkey that a local run brings along: where their data lives, how they start and stop.

It imports no Django: settings read `folder`, and the supervisor starts the servers before Django may connect.
"""

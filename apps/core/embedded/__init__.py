"""The PostgreSQL and Valkey servers of a local run: where their data lives, how they start and stop.

Nothing here imports Django: the settings import `folder`, and the supervisor starts the servers before Django connects.
"""

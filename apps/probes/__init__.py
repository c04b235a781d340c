"""Probes: the kinds of checks and the worker that runs them. No Django, no database.

`contract` and `registry` define what a kind is, `kinds/` contains the kinds, `runner` enforces deadlines and handles
exceptions, `wire` defines the messages, and `worker` is the process. A worker needs only `requirements/probe.txt`.
"""

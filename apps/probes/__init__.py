"""Probes: what a kind of check proves, and the worker that runs them. No Django, no database.

`contract` and `registry` say what a kind is, `kinds/` holds them, `runner` owns clock and deadline, `wire` the messages,
`worker` the process. A worker runs from `requirements/probe.txt` alone.
"""

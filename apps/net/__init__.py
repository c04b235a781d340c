"""Guarded network access: resolve names, apply the address policy, connect, and limit time and size.

All traffic to addresses chosen by tenants goes through this package. It knows nothing of checks, verdicts or Django.
Failures carry the codes of the reason list; `apps.probes.reasons` defines what they mean.
"""

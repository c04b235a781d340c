"""The guarded way to the network: resolve, refuse, connect, cap.

Every byte that the product sends to an address chosen by a tenant goes through here. Knows nothing of checks, verdicts or
Django; failures carry plain codes that `apps.probes.reasons` gives a meaning.
"""

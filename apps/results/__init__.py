"""What was seen: runs, certificates, state intervals, uptime arithmetic, dead letters. Decides nothing."""

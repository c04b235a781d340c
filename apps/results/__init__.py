"""What the probes saw: runs, certificates, state intervals, uptime arithmetic, dead letters. Makes no decisions."""

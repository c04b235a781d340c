"""What to watch and when: resources, checks, regions, the schedule. Knows nothing of what was seen."""

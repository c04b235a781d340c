"""What is monitored and when: resources, checks, regions, the schedule. Knows nothing about results."""

"""What a process tells of itself: metrics, and whether its loops still turn. No Django."""

"""Monitoring of GoUpTime's own processes: Prometheus metrics, and whether their loops still run. No Django."""

"""End-to-end tests: the real processes, started by `manage.py up`, each installation in a data folder of its own."""

"""Tools for operators: doctor, dead letters, regions, broker accounts, bootstrap, backups. No models."""

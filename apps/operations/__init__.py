"""What operators ask and do: doctor, dead letters, regions, broker accounts, bootstrap, backups. No models."""

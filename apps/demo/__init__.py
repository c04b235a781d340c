"""The demo: a project with ninety days of history, and target servers whose endpoints fail and recover. No models."""

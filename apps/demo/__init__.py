"""The demo: a project with ninety days of history, and a target that breaks and heals. No models."""

"""One module per channel kind: how its config is validated and how a message is sent."""

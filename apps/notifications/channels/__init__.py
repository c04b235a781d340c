"""One module a kind of channel: how its config is read and how a message is sent."""

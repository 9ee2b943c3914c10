"""A command: `regiment tail QUEUE`."""

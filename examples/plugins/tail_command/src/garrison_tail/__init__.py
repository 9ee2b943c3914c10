"""A command: `garrison tail QUEUE`."""

"""What this distribution offers: modules for distributions that have an outbox, and nothing to choose by name."""

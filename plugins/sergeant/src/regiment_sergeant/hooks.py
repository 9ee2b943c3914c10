"""What this distribution offers: a class to import, and nothing to choose by name."""

"""Metrics of a store's queues, and how many workers they need."""

"""An observer that counts for Prometheus what tasks do."""

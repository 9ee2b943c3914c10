"""The verbs that read a tree: run, check, workers, top, health."""

"""The keeper process: the only one of a tree that speaks to the stores for its workers."""

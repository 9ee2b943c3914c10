"""What this distribution offers to regiment itself: nothing. It is a plugin of pytest, by the entry point `pytest11`."""

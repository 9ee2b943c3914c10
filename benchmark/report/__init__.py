"""From the journal of a run to its page, its charts, and the README."""

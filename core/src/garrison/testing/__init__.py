"""For tests: `capture` for applications, `contracts` for the authors of plugins."""

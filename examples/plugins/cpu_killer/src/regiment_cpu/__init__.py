"""A killer: `killer=Use("cpu", seconds=2)`."""

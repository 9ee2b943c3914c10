"""An executor: `executor="trio"`."""

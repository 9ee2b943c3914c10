"""The verbs that read and change stores."""

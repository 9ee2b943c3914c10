"""Who is asked about a queue."""

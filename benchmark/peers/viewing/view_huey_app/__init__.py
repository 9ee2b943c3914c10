"""The application whose tasks Huey runs."""

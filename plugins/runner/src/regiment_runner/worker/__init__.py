"""The worker process: it imports the application, takes deliveries, runs attempts and settles them."""

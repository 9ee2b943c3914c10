"""A connector on PostgreSQL: `connector="postgresql://shop@db1/shop"`."""

"""A connector on one file: `connector="file:///var/lib/shop/tasks"`."""

"""A serializer: `serializer="orjson"`."""

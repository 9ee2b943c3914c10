"""`regiment migrate celery`: reads a project as text, never imports it, and says what becomes of each line."""

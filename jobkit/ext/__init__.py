"""The seam to Celery: one extension point per file."""

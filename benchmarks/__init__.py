"""Plain Celery and jobkit side by side, in one run: ``python -m benchmarks --help``."""

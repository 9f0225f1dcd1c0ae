"""One module per kind of job; `workers.app` loads them all."""

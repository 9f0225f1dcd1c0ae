"""Maintenance: one duty per file, each a plain function that does one bounded round and reports what it did."""

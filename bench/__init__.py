"""Measurements that print a table; nothing passes or fails here."""

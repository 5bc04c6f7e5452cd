"""Batch -> rows: in this process, or in worker processes."""

"""The kit for writers."""

"""A hardware provider over any disk array."""

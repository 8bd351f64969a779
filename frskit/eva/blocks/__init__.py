"""The data plane: volumes, versions and pages of one array, in memory or durable."""

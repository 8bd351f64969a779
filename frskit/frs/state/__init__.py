"""What a requestor keeps between calls: catalog, journal, locks, and their records."""

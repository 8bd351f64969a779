"""Transaction logs: names, headers, both formats, and what a set of them adds up to."""

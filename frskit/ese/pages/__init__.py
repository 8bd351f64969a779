"""Pages: checksums, verdicts on one page and on millions, and the worker of an executor."""

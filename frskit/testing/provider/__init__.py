"""The kit for hardware providers."""

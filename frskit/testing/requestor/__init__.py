"""The kit for requestors."""

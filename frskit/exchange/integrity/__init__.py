"""The verdict on a copy of storage groups: databases, streaming files and logs."""

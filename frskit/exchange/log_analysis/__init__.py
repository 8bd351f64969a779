"""What the logs of a storage group allow: facts read, chains found, the decision made."""

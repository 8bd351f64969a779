"""The kit for disk arrays: directed scenarios and random histories against a model."""

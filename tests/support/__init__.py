"""What tests of several folders share; on the path through pytest's setting ``pythonpath``."""

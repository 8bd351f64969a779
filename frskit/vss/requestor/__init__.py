"""The requestor's object and what it does, step by step."""

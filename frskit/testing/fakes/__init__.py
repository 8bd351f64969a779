"""Parties without any application: a site for tests of a shadow copy service."""

"""Backup components and writer metadata documents, read and written byte by byte."""

"""The Exchange writer: its component tree, its backups, and the seam outwards."""

"""Recovery: planning it, carrying it out, ending one that was interrupted, and what is legal."""

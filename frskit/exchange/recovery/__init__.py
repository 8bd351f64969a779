"""The recovery side of a simulated Exchange: analysis, file actions, offline and online."""

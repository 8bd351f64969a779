"""Public test helpers: conformance kits for the seams, and the pytest plugin for rule marks.

Nothing in frskit imports this package. The kits need the extra ``testing`` (Hypothesis).
"""

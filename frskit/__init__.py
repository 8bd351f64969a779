"""frskit: verified array-based copies and fast recovery, with a simulated site to try it on."""

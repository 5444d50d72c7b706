"""Models that nobody here wrote: taken as they are, given weights, run, and recorded operation by operation."""

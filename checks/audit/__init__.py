"""Audits a model that nobody here wrote: what it computes, where it departs from the paper, and why."""

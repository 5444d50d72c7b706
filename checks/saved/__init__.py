"""Saving, loading and converting with not one bit changed."""

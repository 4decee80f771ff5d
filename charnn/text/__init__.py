"""Texts: reading them, their characters as ids, their splits, and the streams of training."""

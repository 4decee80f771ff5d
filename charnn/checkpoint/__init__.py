"""Checkpoints: a trained model, and what resuming its run needs, in one file."""

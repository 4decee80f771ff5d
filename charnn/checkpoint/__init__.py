"""Checkpoints: a trained model and everything needed to resume its run, in one file."""

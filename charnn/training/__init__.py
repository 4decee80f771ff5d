"""Training: a run from its preparation to its last checkpoint, as a sequence of events."""

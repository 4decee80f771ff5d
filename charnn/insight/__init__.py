"""What a model does inside: its readings of a text, its units, its gradients, as views."""

"""Views of a model: how it reads a text, its units and its gradients."""

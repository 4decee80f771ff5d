"""The speed of charnn beside PyTorch, JAX and the bare machine. README.md explains the method."""

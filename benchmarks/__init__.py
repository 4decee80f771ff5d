"""What charnn costs beside PyTorch, JAX and the bare machine; README.md says how it is measured."""

"""The model: cells, layers, the network, and back-propagation through time."""

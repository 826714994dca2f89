"""A whole network on one machine: make its keys and genesis, start, stop, break and measure it."""

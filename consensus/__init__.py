"""In which order: PBFT as a pure machine. Nothing here reads a clock, a socket or a random number."""

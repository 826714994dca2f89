"""In which order: PBFT as a pure machine, `step(event) -> effects`."""

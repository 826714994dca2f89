"""What a contract may do: the dialect, its gas meter and the locked-down worker that runs it."""

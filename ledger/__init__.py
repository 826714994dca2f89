"""What the chain is: canonical bytes, keys, transactions, blocks, trees, proofs and storage.

Nothing here reads a clock, opens a socket or draws randomness for the protocol; only
`ledger.storage` touches the disk. `ledger.proofs` needs hashing, encoding and signatures alone, so
a verifier can take it and leave the rest.
"""

"""A copy of a validator's chain that proves itself, taken while the validator runs.

Block files are append-only and the only source; a database follows from them. So a backup is the
decided blocks up to a certified height with what a quorum signed about them, genesis, settings, the
node's evidence, and the headers, which make it checkable without executing anything:

    manifest.json     what it is a backup of, to which height; the settings; size and SHA-256 of
                      every other file; a digest over all of that
    genesis.qgen      the genesis document
    headers/*.log     record n + 1 is header n (`ledger.storage.segments`)
    blocks/*.log      block files (`ledger.block_files`) without anything undecided or uncertified
    evidence/*        as in the home

**Online.** The block files are read beside their writer, to the last whole record. The database has
one owner, so headers are asked of the running node, or of any other: each is the next one's parent,
and the last has the certificate that the block files hold. A backup never contains a block above
its certificate, so nothing in it is anybody's word.

**Adding.** A file of a backup never changes once the manifest names it. Another `create` into the
same folder adds segments with what is new and then replaces the manifest, by rename; broken off, it
leaves the former backup and some files that no manifest names, and the next `create` removes them.

**Keys** are left out unless asked for. They are encrypted, but a copy of them is one more place
where a pass phrase can be tried, and a second node with the same key is the one thing that a backup
must not lead to; an operator keeps them once, on paper or in a safe, and not with every backup.

**The log of votes is never in a backup.** An old one makes a validator vote against itself. The
restored node finds the log empty beside a ledger that is not, follows, serves, and does not vote
until its key is rotated (`consensus.recovery`).

Left out: compression and encryption of the whole, which file systems and tools around us do; and
blocks without their beginning: a node that pruned its first blocks cannot be backed up like this.
"""

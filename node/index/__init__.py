"""The query index: entries found by the values of their fields, from a database beside the ledger.

The index is derived from the ledger and worth nothing without it: it holds which keys have which
values, and the values that are answered come from the ledger itself. So it can be dropped at any
time, is made anew when anything about it is in doubt, and is never asked by consensus, execution or
proofs.

`values` says how values are compared, `interface` what every database does, `sql` in which tables;
`sqlite` and `postgresql` are the two databases. `ledger_source` reads what the ledger holds,
`follow` brings an index from its own height to the ledger's, `service` does so in a thread and
answers searches. `choose` makes what the settings name.
"""

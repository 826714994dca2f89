"""Words for people: the `qiong` command, one module per command group."""

"""The disk: a key-value store and a segment log, each behind a protocol with a memory version."""

"""The part of execution that runs inside the locked-down process.

    checkdigits GB 32100 and ISO 7064 check digits, `date()`
    wire        frames over the pipe, and the messages in them
    executor    transactions and calls: overlays, gas shares, statuses, host functions
    lockdown    resource limits and the seccomp filter
    main        the process: lock down, then answer frames until the pipe closes

Standard library, the dialect and `ledger.canonical`, which needs msgpack: all loaded before the
lock-down. `executor` also runs in the validator's own
process for tests and dry runs (`contracts.inline.InlineRunner`): there is one implementation.
"""

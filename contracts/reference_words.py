"""What the tables of the reference say in words; `reference.py` joins it with names and numbers.

Left out: every number and every name that the code enforces. A test holds the names here equal to
those in the code, so that none is missing and none is left over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOST: Final[Mapping[str, str]] = {
    "get": "the value under `key` of this contract, None if there is none; fresh each time",
    "put": "write `value` under `key` of this contract",
    "delete": "remove `key` of this contract",
    "keys": "keys of this contract that begin with `prefix`, in the order of their UTF-8 bytes",
    "emit": "announce an event to all who follow the chain",
    "sender": "who called: the calling contract's name, else the first signer's key in hex",
    "signers": "the keys that signed the transaction, in hex",
    "organisation": "the USCC of the first signer's organisation, None for a view",
    "has_role": "whether a signer's key holds the role and its organisation may give it",
    "now": "the block's time, milliseconds since 1970 in UTC",
    "height": "the block's height",
    "call": "run a method of another contract in this call and return its result",
    "sha256": "SHA-256 of the bytes, or of the text in UTF-8, in hex",
    "uscc_valid": "whether it is a unified social credit code by form and check symbol (GB 32100)",
    "mod_37_36_valid": "whether the last symbol checks the others (ISO 7064 MOD 37,36)",
    "licence_id_valid": "whether it is an electronic licence's identifier (GB/T 36904)",
    "date_valid": "whether it is a day of the calendar, written YYYY-MM-DD",
    "date": "the day of a time in milliseconds, YYYY-MM-DD in UTC+8",
    "require": "end the call as `reverted` with `code` unless `condition` holds",
}

LIMITS: Final[Mapping[str, str]] = {
    "dialect.SOURCE_BYTES_MAX": "bytes of a source",
    "dialect.SYNTAX_NODES_MAX": "statements and expressions of a contract",
    "dialect.FUNCTIONS_MAX": "functions of a contract",
    "dialect.PARAMETERS_MAX": "parameters of a function",
    "dialect.INDENT_DEPTH_MAX": "blocks in blocks",
    "dialect.ELIF_MAX": "`elif`s of one `if`",
    "dialect.BRACKET_DEPTH_MAX": "brackets in brackets",
    "dialect.CALL_DEPTH_MAX": "functions calling functions, comprehensions included",
    "dialect.INTEGER_BITS": "bits of an integer (64 in arguments, results, state and events)",
    "dialect.STRING_MAX": "characters of a string; bytes in UTF-8 once it leaves the contract",
    "dialect.LIST_MAX": "items of a list",
    "dialect.DICT_MAX": "entries of a dict",
    "dialect.VALUE_DEPTH_MAX": "containers in containers",
    "dialect.VALUE_NODES_MAX": "nodes of one value that leaves the contract",
    "dialect.CODE_CHARACTERS_MAX": "characters of the code of `require`",
    "host.KEY_BYTES_MAX": "bytes of a key",
    "host.VALUE_BYTES_MAX": "bytes of a stored value, as the chain writes it",
    "host.EVENT_NAME_BYTES_MAX": "bytes of an event's name",
    "host.EVENT_BYTES_MAX": "bytes of an event's data",
    "host.KEYS_MAX": "keys of one listing",
    "executor.RESULT_BYTES_MAX": "bytes of a result",
    "executor.CALL_DEPTH_MAX": "contracts calling contracts",
    "executor.CALL_GAS_MAX": "gas of one call",
    "transaction.TRANSACTION_GAS_MAX": "gas of one transaction",
    "transaction.CALLS_MAX": "calls of one transaction",
    "transaction.SIGNERS_MAX": "signers of one transaction",
}
"""Limits by the short name of their module."""

TICKS: Final[Mapping[str, str]] = {
    "gas.BLOCK": "entering a block of statements",
    "gas.NODE": "a name, a literal, a statement, beside what follows",
    "gas.OPERATOR": "an operator or a comparison",
    "gas.HARD_OPERATOR": "`**`, `<<`, `>>` and `*=`",
    "gas.SUBSCRIPT": "a subscript",
    "gas.SLICE": "a slice",
    "gas.BUILTIN": "a built-in function",
    "gas.METHOD": "a method",
    "gas.CALL": "a call of an own function, a comprehension",
    "gas.COLLECT": "an item that a comprehension collects",
    "gas.ITERATE": "one turn of a loop",
    "gas.DISPLAYED": "a list or dict written out, and each entry of a dict",
    "gas.COMPUTED_KEY": "and if its key is no literal",
}
"""What a block is the sum of, in fractions of gas; the sum is rounded up."""

PRICES: Final[Mapping[str, str]] = {
    "executor.CALL_GAS": "a call, before its code runs",
    "gas.VALUE_NODE": "a node of a value that crosses the boundary",
    "gas.CONTAINER_NODES": "each list and dict of it, beside what it holds",
    "gas.COMPARED_NODE": "a node of a value compared in depth",
    "gas.SOUGHT": "an item compared with a list or dict that is looked for",
    "gas.PIECE": "a piece that `split` or `rsplit` cuts off",
    "gas.NUMBERED": "a pair that `enumerate` makes",
    "gas.COMPARISON": "an item compared by `min`, `max` or a sort",
    "host.READ_MISS_GAS": "each read of the state beyond the first two of a call",
    "host.WRITE_GAS": "each `put` and `delete`, beside the function's own price",
    "host.KEYS_GAS": "each `keys`, beside the function's own price",
    "gas.KEY_LISTED": "a key looked at by `keys`",
}
"""What has a price of its own."""

SIZES: Final[Mapping[str, str]] = {
    "gas.CHARACTERS_SHIFT": "characters written",
    "gas.COMPARED_SHIFT": "characters compared or hashed as keys",
    "gas.ORDERED_SHIFT": "characters compared to see which comes first",
    "gas.READ_SHIFT": "characters searched through, counted or turned around",
    "gas.CLASSIFIED_SHIFT": "characters looked at by `isalpha` and its like",
    "gas.ENCODED_SHIFT": "characters beyond ASCII encoded or decoded",
    "gas.STRIPPED_SHIFT": "comparisons of a character with those to strip",
    "gas.DIGITS_SHIFT": "digits of an integer read or written",
    "gas.ITEMS_SHIFT": "items of a list copied as they are",
    "gas.EACH_SHIFT": "items of a list looked at or made",
    "gas.ENTRIES_SHIFT": "entries of a dict copied, strings joined, integers added up",
    "gas.MOVED_SHIFT": "items moved within a list",
    "gas.SORT_SHIFT": "comparisons of a sort",
    "gas.STATE_BYTES_SHIFT": "bytes read from the state",
    "host.WRITTEN_SHIFT": "bytes written to the state or to an event",
    "gas.HASHED_SHIFT": "bytes hashed by `sha256`",
    "gas.CHECKED_SHIFT": "symbols that `mod_37_36_valid` checks",
}
"""What costs 1 gas for so many: exponents of 2."""

STATUSES: Final[Mapping[str, str]] = {
    "ok": "done; what the call wrote is in the state",
    "reverted": "a `require` failed, with the contract's own code; or another call of an atomic "
    "transaction failed",
    "error": "the contract's own fault, or arguments that do not fit its annotations",
    "limit": "a cap was hit",
    "out_of_gas": "the gas ran out; all of it is charged",
    "rejected": "refused before any of its code ran",
}

CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "error": {
        "TYPE": "a value of the wrong type; arguments or a result that do not fit",
        "KEY": "a dict has no such key",
        "INDEX": "a list, string or tuple has no such index",
        "VALUE": 'a right type with a wrong value: `int("x")`, an integer beyond 64 bits stored',
        "ZERO_DIVISION": "`//` or `%` by zero",
        "NAME": "a local variable read before it has a value; a contract or method called that is "
        "not there",
    },
    "limit": {
        "INTEGER": "an integer too large",
        "STRING": "a string too long",
        "LIST": "a list too long",
        "DICT": "a dict too large",
        "DEPTH": "containers too deep in containers",
        "NODES": "a value of too many nodes",
        "RANGE": "a bound of `range` too large",
        "CODE": "a code of `require` too long",
        "KEY_SIZE": "a key that is empty or too long",
        "VALUE_SIZE": "a value too large for the state",
        "EVENT_NAME": "an event's name that is empty or too long",
        "EVENT_SIZE": "an event too large",
        "RESULT_SIZE": "a result too large",
        "KEYS": "a limit of `keys` that is negative or too large",
        "CALL_DEPTH": "too many contracts calling contracts",
        "REENTRY": "a contract called while it is running",
    },
    "out_of_gas": {"OUT_OF_GAS": "see the status"},
    "rejected": {
        "missing_role": "no signer holds the role that it takes: `submitter` for any transaction, "
        "`deployer` or `governor` for the platform's contract",
        "unknown_contract": "no contract of that name is in force",
        "unknown_method": "no method of that name, or a view in a transaction",
        "compile_refused": "the source is no contract; `qiong contract lint` says why",
        "frozen": "the contract is frozen: views answer, calls are refused",
        "retired": "the contract is retired, for good",
        "QUARANTINED": "a quorum of validators took the transaction out",
    },
    "reverted": {
        "ATOMIC": "another call of an atomic transaction failed",
        "FROZEN": "the contract, or one that it calls, is frozen",
        "RETIRED": "the contract, or one that it calls, is retired",
        "NOT_FROZEN": "`unfreeze` of a contract that is not frozen",
        "BAD_NAME": "a contract's name has small letters, digits, `-` and `_`, a letter first",
        "EXISTS": "a contract of that name is deployed already",
        "UNCHANGED": "the source is the one deployed last",
        "BAD_HEIGHT": "an upgrade from a height that is past",
        "MIGRATE_AT_ONCE": "a version with a `migrate()` takes effect at once",
        "TOO_MANY_PLANNED": "too many versions wait for their heights",
        "NO_ROOM": "all deployed contracts together are too large to be kept compiled",
        "BAD_REASON": "a reason that is empty or too long",
    },
}
"""Codes that come from the language and the platform; a contract's own stand in its docstring."""

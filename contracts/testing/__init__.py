"""The author's kit: a chain in memory on which a contract's tests run.

    from pathlib import Path
    from contracts.testing import load

    PERMIT = load(Path(__file__).with_name("permit.py"))

    def test_nobody_issues_twice(chain):
        permit = chain.deploy(PERMIT)
        bureau = chain.signer("bureau", "issuer:permit")
        permit.call("issue", "P-1", by=bureau)
        with chain.expect_reverted("ALREADY_ISSUED"):
            permit.call("issue", "P-1", by=bureau)
        assert permit.state["permit/P-1"]["status"] == "active"

    @given(PERMIT.strategy("issue"))
    def test_no_argument_breaks_it(args):
        assert Chain().deploy(PERMIT).attempt("issue", *args).status in ("ok", "reverted")

Theory: the code that executes calls is that of a validator, and only what surrounds it is simpler:
a dictionary for the state, no signatures, no consensus, a clock that stands still until it is told
to move. So a status, a code and a gas seen here are those of every network. `qiong contract test`
runs such files and adds what each method costs and which lines never ran.

Needs pytest and hypothesis, which hosts of validators do not have: nothing else imports this
package. Left out: roots, headers and proofs; a transaction's expiry.
"""

from __future__ import annotations

from contracts.testing.chain import Chain, Deployed
from contracts.testing.contract import Contract, NotAContract, library, load, parse
from contracts.testing.receipts import CallFailed, Receipt
from contracts.testing.signers import Signer, uscc

__all__ = [
    "CallFailed",
    "Chain",
    "Contract",
    "Deployed",
    "NotAContract",
    "Receipt",
    "Signer",
    "library",
    "load",
    "parse",
    "uscc",
]

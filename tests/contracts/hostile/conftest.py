"""The fixtures of a network of four in one process."""

from tests.node.engine.conftest import founders, genesis_of, make_transaction

__all__ = ["founders", "genesis_of", "make_transaction"]

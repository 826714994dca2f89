"""From source text to a `Compiled` contract.

Theory: scan the text, parse it, check the tree against a whitelist, lower it (gas charges and
guards in place of every operation that could surprise), compile what came out. Every stage that
can refuse reports all it finds before the next one runs.
"""

from __future__ import annotations

from contracts.dialect.compiled import Compiled


def compile_source(source: str) -> Compiled:
    """Compile one contract. Raises CompileRefused with every refusal found."""
    raise NotImplementedError

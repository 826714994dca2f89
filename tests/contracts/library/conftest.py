"""The library's tests as an author writes them: `qiong contract test tests/contracts/library`
shows the gas of each method and the lines that never ran; `make test` runs them among the others.
"""

import pytest

from contracts.testing import Chain, Signer
from contracts.testing.plugin import chain
from devnet import sample

__all__ = ["chain"]


@pytest.fixture
def departments(chain: Chain) -> dict[str, Signer]:
    """The sample's departments by USCC, each accredited for what it issues there."""
    accreditations = sample.accreditations()
    return {
        entry.uscc: chain.signer(entry.id, *accreditations[entry.uscc], organisation=entry.uscc)
        for entry in sample.departments()
    }

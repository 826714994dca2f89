"""The pytest plugin: the fixture `chain`.

Imports nothing of the kit until a test asks for it: pytest loads plugins in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from contracts.testing.chain import Chain


@pytest.fixture
def chain() -> Chain:
    """A fresh chain in memory, with the library deployed and `author` to sign."""
    from contracts.testing.chain import Chain

    return Chain()

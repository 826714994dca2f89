"""Every mutant, in the order in which the table is printed."""

from __future__ import annotations

from typing import Final

from tests.mutants.design import DESIGN
from tests.mutants.durability import DURABILITY
from tests.mutants.gatekeeping import GATEKEEPING
from tests.mutants.mutant import Mutant
from tests.mutants.quarantine import QUARANTINE
from tests.mutants.views import VIEWS
from tests.mutants.votes import VOTES

MUTANTS: Final[list[Mutant]] = [*DESIGN, *VOTES, *VIEWS, *GATEKEEPING, *DURABILITY, *QUARANTINE]

"""What all tests share: hypothesis profiles and the rule for tools the machine may lack.

A test that needs a system tool says so with `@pytest.mark.system("strace")`. Where the tool is
missing the test is skipped on a developer's machine and fails in CI (`QIONG_CI` set), so that CI
never passes by not looking.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.tools import find

IN_CI = bool(os.environ.get("QIONG_CI"))

# On shared machines wall time means little: no deadline, and slow data generation is no failure.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, max_examples=100)
settings.load_profile("ci" if IN_CI else "default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("system"):
        missing = [tool for tool in marker.args if find(tool) is None]
        if not missing:
            continue
        reason = f"needs {', '.join(missing)}, which this machine lacks"
        if IN_CI:
            pytest.fail(f"{reason}; .ci/run installs the system tools", pytrace=False)
        pytest.skip(reason)

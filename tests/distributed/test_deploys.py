"""The tests of two versions side by side, against tables that are distributed."""

import os

import pytest

if "CITUS_URL" not in os.environ:
    pytest.skip("CITUS_URL names no Citus coordinator", allow_module_level=True)

from tests.faults.test_deploys import TestTwoVersions  # noqa: F401 - collected here

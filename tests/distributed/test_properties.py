"""The tests of two users and of concurrency, against tables that are distributed."""

import os

import pytest

if "CITUS_URL" not in os.environ:
    pytest.skip("CITUS_URL names no Citus coordinator", allow_module_level=True)

from tests.properties.test_concurrency import *
from tests.properties.test_two_users import *

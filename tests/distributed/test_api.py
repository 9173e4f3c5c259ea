"""The tests of the API, against tables that are distributed."""

import os

import pytest

if "CITUS_URL" not in os.environ:
    pytest.skip("CITUS_URL names no Citus coordinator", allow_module_level=True)

from tests.api.conftest import *
from tests.api.test_conditions import *
from tests.api.test_idempotency import *
from tests.api.test_lists import *
from tests.api.test_tasks import *

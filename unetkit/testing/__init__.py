"""What sources, sinks and backends promise, as classes of pytest tests that those who write one can inherit."""

import pytest

pytest.register_assert_rewrite("unetkit.testing.sinks", "unetkit.testing.sources")

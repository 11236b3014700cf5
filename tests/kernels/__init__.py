import pytest

pytest.register_assert_rewrite("tests.kernels.regression_cases")  # so that a failed check shows its values

"""Least squares is computed in float64; JAX starts with it off."""

import jax
import pytest


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield

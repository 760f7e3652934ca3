"""Hypothesis as it runs here: no deadline, for machines are busy; in CI the same examples each time."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "stanchion",
    deadline=None,
    max_examples=30,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("stanchion")

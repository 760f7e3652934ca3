"""Hypothesis as it runs here: no deadline, because the machine is busy; the same examples each time where CI asks for it."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "stanchion",
    deadline=None,
    max_examples=50,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("stanchion")

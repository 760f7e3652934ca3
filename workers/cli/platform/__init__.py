"""`stanchion up`, `down`, `doctor`, `bootstrap`, `worker`, `demo`, `db`, `slack`."""

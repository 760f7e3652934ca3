"""The commands `stanchion up`, `down`, `doctor`, `bootstrap`, `worker`, `demo`, `db` and `slack`."""

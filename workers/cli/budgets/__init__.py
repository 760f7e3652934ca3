"""The commands `stanchion caps` and `cost`, and `resume RUN`, which may add to a run's budget."""

"""Which workers live, and what is done about those that died: a run goes on in seconds and not after its time-outs."""

"""Benchmarks: each measures Stanchion beside a bare workflow in the same run, so that what counts is a ratio.

`python -m bench` runs all of them; docs/performance.md says what each figure means.
"""

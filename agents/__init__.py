"""The agents that ship with Stanchion, one folder each. Copy `it_support` to write your own."""

"""Recorded histories, and the proof that the workflow of today still replays them."""

"""Combines grants, origins, tier, mode and policies into the verdict on a call."""

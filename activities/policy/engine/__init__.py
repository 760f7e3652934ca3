"""The verdict about a call: grants, origins, tier, mode and policies, combined."""

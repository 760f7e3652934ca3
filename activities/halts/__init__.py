"""The off switch: orders to halt and to lift, and the watch that every worker keeps for them."""

"""The training loop that every system shares: state, optimisers, time plan, run folder, display."""

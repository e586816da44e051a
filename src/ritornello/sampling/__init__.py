"""Drawing from what a model predicts; shared by every system that samples codes."""

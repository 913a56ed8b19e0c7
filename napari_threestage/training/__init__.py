"""Training of the stages (torch)."""

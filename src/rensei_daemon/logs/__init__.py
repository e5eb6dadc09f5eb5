"""What the daemon says about itself: one event a fact, rendered for whoever listens."""

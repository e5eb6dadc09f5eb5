"""The handlers of the control API: what the daemon does at each of its endpoints."""

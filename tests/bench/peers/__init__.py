"""What people would use instead, in the same scenarios: `make compare`."""

"""Many light hosts against real servers: what `make fleet` is made of."""

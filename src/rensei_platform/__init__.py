"""The control plane: what hosts register with, beat to and take credentials from."""

"""The operator's settings: text and environment in, one frozen value out."""

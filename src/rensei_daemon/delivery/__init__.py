"""Deliver a session's credentials to the processes that use them."""

"""How replicas tell one another that something changed."""

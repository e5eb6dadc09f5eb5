"""One use case a module: a transaction, the rules, a result."""

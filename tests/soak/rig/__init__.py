"""A host and its platform, to be treated badly."""

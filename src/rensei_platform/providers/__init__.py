"""Where credential values come from: one module a kind of provider."""

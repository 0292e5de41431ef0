"""What strangers may publish to hurt whoever looks at it, and what comes of it: `corpus.cases()` has all of it."""

"""The checkpoint that answers, unchanged: what it reads, where it came from, and what was added to it."""

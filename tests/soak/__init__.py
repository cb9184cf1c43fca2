"""A watcher beside a disk on which anything may happen, for minutes: the rows stay true, and nothing piles up."""

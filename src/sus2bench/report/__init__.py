"""A static site of records: leaderboard, plots, a page per run; it opens from disk."""

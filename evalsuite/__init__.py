"""Evaluation: predictions → metrics, checks and statistics → leaderboard."""

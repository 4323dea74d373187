"""Predictions → metrics, checks, statistics → leaderboard. Scores are computed from predictions alone."""

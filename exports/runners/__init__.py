"""Programs that travel inside a bundle. Each file is copied as it is and imports nothing of Truemark."""

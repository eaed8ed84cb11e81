"""Text to token ids, the same in gateway, worker and load generator."""

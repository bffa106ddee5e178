"""Which pair to show a person next, and what an answer is worth."""

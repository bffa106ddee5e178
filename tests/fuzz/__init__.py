"""Mutated scene folders: whatever is in one, reading it gives a scene or one sentence, quickly and in little memory."""

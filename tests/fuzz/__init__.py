"""Mutated scene folders: whatever is in a folder, opening and reading it gives a scene or one sentence, quickly and in little memory."""

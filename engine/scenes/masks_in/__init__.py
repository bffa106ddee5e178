"""Masks in other tools' files: which files a scene has, and how each becomes a map of ids. Knows no scene format."""

"""The version of the program. Everything else reads it from here."""

VERSION = "0.1.0"

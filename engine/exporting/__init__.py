"""Takes groups away: writes them in the formats of other programs, and reads back what was written."""

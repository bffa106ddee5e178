"""From masks to instances: geometry, candidate links, the judge's answers, the cut, and what is written of it."""

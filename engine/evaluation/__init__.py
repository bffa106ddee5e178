"""How good a judge is: pairs to ask, predictions, scores, reliability."""

from typing import Literal

class ConfidenceInterval:
    low: float
    high: float

class BinomTestResult:
    pvalue: float
    def proportion_ci(self, *, method: Literal["exact", "wilson", "wilsoncc"] = ...) -> ConfidenceInterval: ...

def binomtest(k: int, n: int, p: float = ...) -> BinomTestResult: ...

class _ChiSquared:
    def sf(self, x: float, df: float) -> float: ...

chi2: _ChiSquared

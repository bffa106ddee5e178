import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

def connected_components(csgraph: coo_matrix | csr_matrix, *, directed: bool = ...) -> tuple[int, NDArray[np.int32]]: ...

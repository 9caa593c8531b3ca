"""How kernels become machine code: Numba, its private parts in one file, and the cache on disk."""

"""How tables are written: compression and encoding, separators and headers, numbers in their styles, arrays."""

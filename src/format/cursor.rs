//! Reading and writing little-endian fields with every length checked.

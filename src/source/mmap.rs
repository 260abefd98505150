//! Big files through memory maps, copied out under a guard against truncation.

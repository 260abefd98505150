//! Whole programs side by side, in interleaved rounds.

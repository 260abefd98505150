//! Standard input as one file.

//! Whole backups, restores and checks in this process.

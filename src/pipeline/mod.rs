//! The stages of backup and restore, joined by bounded channels.

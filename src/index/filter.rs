//! 8-bit binary-fuse filters over ids, serialised beside the entries.

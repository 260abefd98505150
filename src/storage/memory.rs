//! A store in memory: for tests and fuzzing.

/// Objects in a map.
#[derive(Default)]
pub struct MemoryStorage {
    _private: (),
}

//! The first error of a run. It ends the run, and later errors only follow from it.

use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A worker panicked. The text is the message of the panic.
#[derive(Debug, thiserror::Error)]
#[error("a worker failed: {0}")]
pub struct WorkerPanic(pub String);

/// Holds the first error of a run.
#[derive(Debug)]
pub struct Failure<E> {
    failed: Arc<AtomicBool>,
    first: Mutex<Option<E>>,
}

impl<E> Default for Failure<E> {
    fn default() -> Self {
        Failure { failed: Arc::default(), first: Mutex::new(None) }
    }
}

impl<E: From<WorkerPanic>> Failure<E> {
    /// Fails the run; only the first error is kept.
    pub fn set(&self, error: E) {
        let mut first = self.first.lock();
        first.get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Whether the run has failed: stages then drain without working.
    pub fn is_set(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Is set when the run fails.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.failed.clone()
    }

    /// The first error, if any.
    pub fn take(&self) -> Option<E> {
        self.first.lock().take()
    }

    /// Like [`Failure::guard`], for work that cannot fail but by a panic.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        self.guard(|| Ok(work()))
    }

    /// Runs a piece of work unless the run has failed; an error or a panic in it fails the run.
    pub fn guard<R>(&self, work: impl FnOnce() -> Result<R, E>) -> Option<R> {
        if self.is_set() {
            return None;
        }
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(result)) => Some(result),
            Ok(Err(error)) => {
                self.set(error);
                None
            }
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                self.set(WorkerPanic(text.unwrap_or_else(|| "it panicked without a message".into())).into());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_or_panic_is_kept_and_stops_later_work() {
        let failure = Failure::<WorkerPanic>::default();
        assert_eq!(failure.guard(|| Ok(7)), Some(7));
        assert_eq!(failure.guard(|| -> Result<(), _> { panic!("first") }), None);
        assert_eq!(failure.guard(|| -> Result<(), _> { unreachable!("must not run") }), None);
        assert!(matches!(failure.take(), Some(WorkerPanic(text)) if text == "first"));
    }
}

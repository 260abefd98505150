//! Does the same work on many items on several threads, for operations that read whole objects.
//!
//! Each thread takes the next item when it is free, so only as many items are in work as there are threads. With one
//! thread everything runs on the calling one.

use super::failure::{Failure, WorkerPanic};
use parking_lot::Mutex;
use std::io;

/// The system gave no thread.
#[derive(Debug, thiserror::Error)]
#[error("a thread could not be started: {0}")]
pub struct NoThread(pub io::Error);

/// Runs `work` on every item, with a state of its own for each thread. The first error, or a panic, ends it.
pub fn each<T, S, E>(
    threads: usize,
    name: &str,
    items: impl Iterator<Item = T> + Send,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> Result<(), E> + Sync,
) -> Result<(), E>
where
    E: From<WorkerPanic> + From<NoThread> + Send,
{
    let failure = Failure::default();
    let items = Mutex::new(items);
    let run = || {
        let mut state = state();
        while !failure.is_set() {
            let Some(item) = items.lock().next() else { break };
            failure.guard(|| work(&mut state, item));
        }
    };
    if threads <= 1 {
        run();
    } else {
        std::thread::scope(|scope| {
            for at in 0..threads {
                let spawned = std::thread::Builder::new().name(format!("{name}-{at}")).spawn_scoped(scope, run);
                if let Err(source) = spawned {
                    failure.set(NoThread(source).into());
                }
            }
        });
    }
    failure.take().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    enum Ended {
        AtThree,
        Otherwise,
    }

    impl From<WorkerPanic> for Ended {
        fn from(_: WorkerPanic) -> Ended {
            Ended::Otherwise
        }
    }

    impl From<NoThread> for Ended {
        fn from(_: NoThread) -> Ended {
            Ended::Otherwise
        }
    }
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[test]
    fn every_item_is_worked_on_once_and_an_error_ends_it() {
        for threads in [0, 1, 3] {
            let sum = AtomicU64::new(0);
            let add = |_: &mut (), n: u64| {
                sum.fetch_add(n, Relaxed);
                Ok::<_, Ended>(())
            };
            each(threads, "add", 1..=100, || (), add).unwrap();
            assert_eq!(sum.load(Relaxed), 5050);
            let fail = |_: &mut (), n: u64| if n == 3 { Err(Ended::AtThree) } else { add(&mut (), n) };
            let ended = each(threads, "fail", 0.., || (), fail);
            assert!(matches!(ended, Err(Ended::AtThree)), "{ended:?}");
        }
    }
}

//! SIGINT and SIGTERM. The first signal asks a long operation to end in an orderly way; the next one ends the program
//! at once.

use super::exit_code::ExitCode;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// What the signal handlers look at.
pub struct Interrupt {
    /// Set by a signal; operations look at it.
    cancel: Arc<AtomicBool>,
    /// The next signal ends the program at once: nothing that would have to end well is running.
    at_once: Arc<AtomicBool>,
}

impl Interrupt {
    /// Installs the handlers. Until [`Interrupt::deferred`] a signal ends the program at once, with exit code 130.
    pub fn install() -> io::Result<Interrupt> {
        let interrupt =
            Interrupt { cancel: Arc::new(AtomicBool::new(false)), at_once: Arc::new(AtomicBool::new(true)) };
        for signal in [SIGINT, SIGTERM] {
            // They run in this order.
            flag::register_conditional_shutdown(signal, ExitCode::Interrupted as i32, interrupt.at_once.clone())?;
            flag::register(signal, interrupt.cancel.clone())?;
            flag::register(signal, interrupt.at_once.clone())?;
        }
        Ok(interrupt)
    }

    /// From now on the first signal only sets the flag, which is given.
    pub fn deferred(&self) -> Arc<AtomicBool> {
        self.at_once.store(false, SeqCst);
        self.cancel.clone()
    }

    /// The operation is over: a signal ends the program at once again.
    pub fn immediate(&self) {
        self.at_once.store(true, SeqCst);
    }
}

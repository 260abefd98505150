//! Tracing to standard error: `RUST_LOG=larder=debug`, or `-vv` and `-vvv`.

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Installs the subscriber when it was asked for.
pub fn install(verbose: u8) {
    let filter = match (std::env::var("RUST_LOG"), verbose) {
        (Ok(filter), _) if !filter.is_empty() => EnvFilter::new(filter),
        (_, 0 | 1) => return,
        (_, 2) => EnvFilter::new("larder=debug"),
        (_, _) => EnvFilter::new("larder=trace"),
    };
    // Fails only when there is a subscriber already, which then serves.
    _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}

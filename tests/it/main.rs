//! The integration tests, one binary: a module a subject.

mod lacks;
mod tidy;
#[cfg(feature = "cli")]
mod sandbox;
#[cfg(feature = "cli")]
mod terminal;
#[cfg(feature = "cli")]
mod cli;
mod compat;
mod damage;
#[cfg(feature = "cli")]
mod failing_storage;
#[cfg(feature = "cli")]
mod healing;
#[cfg(target_os = "linux")]
mod faulty;
mod library;
mod memory;
mod pipeline;
#[cfg(target_os = "linux")]
mod target;
#[cfg(all(feature = "cli", feature = "harness"))]
mod reports;
#[cfg(feature = "cli")]
mod roundtrip;
#[cfg(feature = "cli")]
mod resume;

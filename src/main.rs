//! The `larder` program: everything is in the library's `cli`.

/// The system's allocator, which `larder bench gate` can make count.
#[cfg(feature = "harness")]
#[global_allocator]
static ALLOCATOR: larder::harness::gate::allocations::CountingAllocator =
    larder::harness::gate::allocations::CountingAllocator;

fn main() -> std::process::ExitCode {
    larder::cli::main(std::env::args_os()).into()
}

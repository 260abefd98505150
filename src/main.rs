//! The `larder` program. All of it is in the library's module `cli`.

/// The system's allocator, which `larder bench gate` can make count.
#[cfg(feature = "harness")]
#[global_allocator]
static ALLOCATOR: larder::harness::gate::allocations::CountingAllocator =
    larder::harness::gate::allocations::CountingAllocator;

fn main() -> std::process::ExitCode {
    larder::cli::main(std::env::args_os()).into()
}

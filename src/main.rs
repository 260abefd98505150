//! The `larder` program: everything is in the library's `cli`.

fn main() -> std::process::ExitCode {
    larder::cli::main(std::env::args_os()).into()
}

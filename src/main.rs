//! The `almanac` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    almanac::cli::main()
}

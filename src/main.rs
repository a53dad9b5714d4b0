//! The `almanac` binary: everything is in the library.

/// sled allocates on one thread and frees on others, which costs it twice as much time with the allocator of the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    almanac::cli::main()
}

//! The program `slipway`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The allocator wants no huge pages for itself, and says so for the whole process; models, which inherit that, may want them.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(false) {
        eprintln!("slipway: models get no transparent huge pages: {error}");
    }
    server::cli::run()
}

//! Measures what has to do with time on real processes: `bench wake`, `bench step`, `bench counting`,
//! `bench viewers`, `bench rollouts`. Used by `cargo xtask bench`, which
//! also measures a gateway beside others with what is in `callers`.
//!
//! The engine, the gateway and the runtime are the real ones; only the doors are left out, so that a deployment can be put
//! to sleep without waiting for the autoscaler. `viewers` and `rollouts` have the whole server, the latter before a pretended
//! machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that can't go on has nothing else to say")]

mod callers;
mod counting;
mod rollouts;
mod step;
mod toy;
mod viewers;
mod wake;
mod world;

use std::process::ExitCode;

/// The server's own: what it holds of the memory counts in `rollouts`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many open files as the machine permits: each request that waits is a connection.
fn more_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    more_files();
    if let Some(kept) = callers::run(&words) {
        return if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // Before there are threads, which stay where the first one was.
    match words.first() {
        Some(&"counting") => counting::stay_on(0),
        Some(&"aside" | &"toy-aside") => counting::stay_on(1),
        // Browsers have processors of their own: here they make way.
        Some(&"look") => rustix::process::setpriority_process(None, 19).unwrap(),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let kept = match words.as_slice() {
        ["toy" | "toy-aside", load_ms] => {
            runtime.block_on(toy::serve(load_ms.parse().unwrap()));
            true
        }
        ["wake"] => runtime.block_on(wake::run()),
        ["step"] => runtime.block_on(step::run(step::RATE)),
        ["step", rate] => runtime.block_on(step::run(rate.parse().unwrap())),
        ["counting"] => runtime.block_on(counting::run()),
        ["viewers"] => runtime.block_on(viewers::run()),
        ["rollouts"] => runtime.block_on(rollouts::run()),
        ["look", address, model, count] => {
            runtime.block_on(viewers::look(address.parse().unwrap(), model, count.parse().unwrap()));
            true
        }
        ["aside", address, path, rate, seconds] => {
            runtime.block_on(step::call(address, path, rate.parse().unwrap(), seconds.parse().unwrap()))
        }
        ["call", address, path, rate, seconds] => {
            runtime.block_on(step::call(address, path, rate.parse().unwrap(), seconds.parse().unwrap()))
        }
        _ => {
            eprintln!("bench wake | bench step | bench counting | bench viewers | bench rollouts");
            false
        }
    };
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

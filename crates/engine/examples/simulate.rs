//! Plays random histories of the engine and counts broken promises: `simulate --histories 10000 --seed 1`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let number = |flag: &str, otherwise: u64| {
        let arguments: Vec<String> = std::env::args().collect();
        let value =
            arguments.iter().position(|argument| argument == flag).and_then(|at| arguments.get(at + 1));
        value.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (histories, first) = (number("--histories", 1_000), number("--seed", 1));
    // Two for each core: a history waits for its database's thread half of the time.
    let threads = 2 * std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let workers: Vec<_> = (0..threads)
        .map(|worker| std::thread::spawn(move || work(first, histories, worker, threads)))
        .collect();
    let (mut violations, mut promotions, mut failed) = (0, 0, false);
    for worker in workers {
        match worker.join() {
            Ok(Ok((broken, begun))) => {
                violations += broken;
                promotions += begun;
            }
            Ok(Err(error)) => {
                eprintln!("a history could not be played: {error}");
                failed = true;
            }
            Err(_) => failed = true,
        }
    }
    println!("{promotions} promotions");
    println!("{histories} histories, {violations} violations");
    if failed || violations > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn work(first: u64, histories: u64, worker: u64, workers: u64) -> Result<(u64, u64), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let (mut violations, mut promotions) = (0, 0);
    for index in (worker..histories).step_by(workers as usize) {
        let seed = first + index;
        let outcome = runtime
            .block_on(engine::simulation::play(seed))
            .map_err(|error| format!("seed {seed}: {error}"))?;
        promotions += u64::from(outcome.promotions);
        for violation in &outcome.violations {
            println!("seed {seed}: {violation}");
        }
        violations += outcome.violations.len() as u64;
    }
    Ok((violations, promotions))
}

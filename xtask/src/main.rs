//! The workspace's own commands: `cargo xtask <command>`.

mod bench;
mod build;
mod check;
mod deny;
mod files;
mod functions;
mod fuzz;
mod gates;
mod run;
mod setup;
mod shell;
mod simulate;
mod site;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and checks the workspace")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building, running or testing needs and this machine lacks.
    Setup(setup::Setup),
    /// Build everything and serve it at http://localhost:8000, with its data in ./data.
    Run(run::Run),
    /// Build one binary that carries the dashboard: target/serve/slipway or target/release/slipway.
    Build(build::Build),
    /// Build the dashboard's site (WASM, JavaScript, CSS) into target/site.
    Site(site::Site),
    /// Write docs/server-functions.md from the functions' declarations.
    Functions(functions::Functions),
    /// Check which crate imports which, and the length of files.
    Check(check::Check),
    /// Check licenses, sources and known weaknesses of what is built in.
    Deny(deny::Deny),
    /// Play simulated histories of rollouts and check that no promise is broken.
    Simulate(simulate::Simulate),
    /// Feed every parser and door what nobody would send on purpose.
    Fuzz(fuzz::Fuzz),
    /// Count the instructions of what runs all the time, and fail when one of them costs more than it did.
    Gates(gates::Gates),
    /// Measure what has a bound: cargo xtask bench --help names the figures.
    Bench(bench::Bench),
    /// Run every check and every test there is.
    Test(test::Test),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Setup(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Site(command) => command.run(),
        Command::Functions(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Deny(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::Gates(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Test(command) => command.run(),
    }
}

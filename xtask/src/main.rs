//! The workspace's own commands: `cargo xtask <command>`.

mod site;

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
    /// Build the dashboard's site (WASM, JavaScript, CSS) into target/site.
    Site(site::Site),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Site(command) => command.run(),
    }
}

//! What the server says of itself while it runs: lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins to write log lines at `level` (`error`, `warn`, `info`, `debug`, `trace`, or a filter such as
/// `info,engine=debug`). A second call changes nothing.
///
/// Lines are for people on a terminal and JSON everywhere else.
pub fn start(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("SLIPWAY_LOG is `{level}`: {error}; use error, warn, info, debug or trace"))?
        // One line per database statement is noise at any level a person would choose.
        .add_directive("sqlx=warn".parse().map_err(|_| "sqlx=warn is not a directive".to_owned())?);
    let terminal = std::io::stderr().is_terminal();
    let registry = tracing_subscriber::registry().with(filter);
    let started = if terminal {
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).compact();
        registry.with(lines).try_init()
    } else {
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).json().flatten_event(true);
        registry.with(lines).try_init()
    };
    // Tests start several servers in one process; the first one's choice stays.
    let _ = started;
    Ok(())
}

//! `slipway doctor --chaos` on both databases, as anybody runs it: short, and with little traffic.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::process::Stdio;

use tokio::process::Command;

/// Runs it for a minute, and shows the whole report if something did not hold.
async fn survives(postgres: Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.md");
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(["doctor", "--chaos", "--seconds", "60", "--rate", "300", "--report"]).arg(&report);
    if let Some(url) = &postgres {
        command.args(["--postgres", url]);
    }
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    let log = std::fs::read_to_string(report.with_extension("log")).unwrap_or_default();
    let end: Vec<&str> = log.lines().rev().take(100).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    assert!(output.status.success(), "{said}\n{text}\n{}", end.join("\n"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), text.trim());
    // Without root the disk is not filled, and the report says so.
    assert!(text.contains("Everything held"), "{text}");
    assert_eq!(text.contains("| not tried |"), text.contains("Not tried: the disk is full."), "{text}");
    assert_eq!(text.contains("SQLite is a file"), postgres.is_none(), "{text}");
}

/// One after the other: each is a load of its own.
#[tokio::test]
async fn a_server_survives_what_machines_do_to_it() {
    survives(None).await;
    survives(Some(store::testing::postgres_server().await)).await;
}

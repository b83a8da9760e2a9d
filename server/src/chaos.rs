//! `slipway doctor --chaos`: breaks a server of its own while it serves a model under load, and reports what held.

mod acts;
mod database;
mod disk;
mod door;
mod excuses;
mod place;
mod processes;
mod report;
mod show;
mod stage;
mod stop;
mod toy;
mod voice;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use store::{OwnDatabase, Store};
use tokio_util::sync::CancellationToken;

use crate::load::{Plan, Running};
pub use place::Place;
use report::{Act, Report, Verdict};
use show::Show;
use stage::Stage;
use toy::Toy;
use voice::{say, tell};

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Chaos {
    /// Break a server of its own under load, for some minutes, and write a report: it is killed, its replicas, a build and the
    /// connections to the database are, its disk is filled and its clock set wrong. Other servers are not touched
    #[arg(long)]
    pub chaos: bool,
    /// How long the traffic goes on at least
    #[arg(long, requires = "chaos", default_value_t = 300, value_parser = clap::value_parser!(u64).range(30..=86_400))]
    pub seconds: u64,
    /// Requests a second
    #[arg(long, requires = "chaos", default_value_t = 3_400, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub rate: u32,
    /// Use a database that is made on this Postgres server, and removed at the end [default: SQLite]
    #[arg(long, requires = "chaos", value_name = "URL", hide_env_values = true)]
    pub postgres: Option<String>,
    /// Where the report goes
    #[arg(long, requires = "chaos", value_name = "FILE", default_value = "slipway-chaos.md")]
    pub report: PathBuf,
}

/// A database that is not dropped within this is left.
const DROPPED_WITHIN: Duration = Duration::from_secs(30);

/// Runs it all, tells the report and writes it. Exit code 1 if something did not hold, or if it was interrupted.
///
/// # Errors
/// If there is nothing to report; and where the report, which has been told by then, can't be written, or the database not be
/// removed.
pub async fn run(chaos: &Chaos, place: &Place) -> anyhow::Result<ExitCode> {
    let stop = stop::on_signals()?;
    check_path(&chaos.report)?;
    let database = match &chaos.postgres {
        None => None,
        Some(url) => {
            let name = format!("slipway_chaos_{}", crate::random::word::<8>());
            Some(OwnDatabase::create(url, &name).await.context("no database could be made on Postgres")?)
        }
    };
    let played = play(chaos, place, database.as_ref(), &stop).await;
    // Whatever still works below the folder uses the database.
    processes::end_all(&place.data);
    let removed = match database {
        None => Ok(()),
        Some(database) => remove(database).await,
    };
    let log = place.folder.join("server.log");
    let report = match played {
        Ok(report) => report,
        Err(error) => {
            if let Err(left) = removed {
                say(&format!("slipway: {left:#}"));
            }
            let kept = std::env::temp_dir().join("slipway-chaos-server.log");
            match std::fs::copy(log, &kept) {
                Ok(_) => bail!("{error:#}; the server's log is {}", kept.display()),
                Err(_) => return Err(error),
            }
        }
    };
    tell(&report.text());
    let written = std::fs::write(&chaos.report, report.text())
        .with_context(|| format!("the report could not be written to {}", chaos.report.display()));
    let kept = chaos.report.with_extension("log");
    if !report.held() && std::fs::copy(log, &kept).is_ok() {
        say(&format!("the server's log is {}", kept.display()));
    }
    removed.and(written)?;
    Ok(if report.held() && report.interrupted.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds out now, and not after minutes, whether the report can be written there. What is there stays until then.
fn check_path(report: &Path) -> anyhow::Result<()> {
    let was_there = report.exists();
    let opened = File::options().create(true).append(true).open(report);
    opened
        .with_context(|| format!("the report can't be written to {}; name another file", report.display()))?;
    if !was_there {
        let _ = std::fs::remove_file(report);
    }
    Ok(())
}

async fn remove(database: OwnDatabase) -> anyhow::Result<()> {
    let name = database.name().to_owned();
    let removed = match tokio::time::timeout(DROPPED_WITHIN, database.remove()).await {
        Ok(removed) => removed.map_err(anyhow::Error::from),
        Err(late) => Err(late.into()),
    };
    removed.with_context(|| format!("the database {name} could not be removed; drop it by hand"))
}

/// Does one thing after the other until it is told to stop.
async fn play(
    chaos: &Chaos,
    place: &Place,
    database: Option<&OwnDatabase>,
    stop: &CancellationToken,
) -> anyhow::Result<Report> {
    let mut show = tokio::select! {
        show = open(chaos, place, database) => show?,
        () = stop.cancelled() => bail!("interrupted before there was anything to report"),
    };
    let (mut second, mut third) = (String::new(), String::new());
    let own_disk = place.own_disk.as_ref().copied().map_err(String::as_str);
    let mut interrupted = None;
    macro_rules! act {
        ($name:literal, $act:expr) => {
            if interrupted.is_none() {
                let at = show.passed();
                let outcome = tokio::select! {
                    outcome = $act => Some(outcome),
                    () = stop.cancelled() => None,
                };
                match outcome {
                    Some(outcome) => show.note($name, at, outcome),
                    None => interrupted = Some($name),
                }
            }
        };
    }
    act!("a canary begins", show.begin_canary(&mut second));
    act!("the server is killed in the middle of the canary", show.kill_server_in_canary());
    act!("the clock leaps an hour ahead, and back", show.skew_clock());
    act!("a new server takes over", show.take_over(false));
    act!("replicas are killed", show.kill_replicas(4));
    match database {
        Some(database) => {
            act!("the database's connections end", show.cut_database(database));
            act!("the database refuses connections for some seconds", show.refuse_connections(database));
        }
        None => {
            let why = "SQLite is a file and has no connection";
            show.leave_out("the database's connections end, and are refused", why);
        }
    }
    act!("the canary comes to its end", show.finish_canary(&second));
    act!("a build is killed, and the server while it builds", show.kill_build(&mut third));
    act!("a canary is canceled", show.cancel_canary(&third));
    act!("production scales up and down", show.scale());
    act!("the disk is full", show.fill_disk(own_disk));
    while interrupted.is_none() && show.passed() < Duration::from_secs(chaos.seconds) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        interrupted = stop.is_cancelled().then_some("traffic, and nothing else");
    }
    act!("a new server takes over again", show.take_over(true));
    act!("the server ends in order, and is started again", show.stop_and_start());
    let (at, model) = (show.passed(), show.model.clone());
    let (stage, mut acts, requests) = show.end().await?;
    if interrupted.is_none() {
        let name = match database {
            Some(_) => "the model is deleted: nothing runs any more, the server ends",
            None => "the model is deleted: nothing runs any more, the server ends, its file is whole",
        };
        let is_file = database.is_none();
        tokio::select! {
            closed = close(stage, &model, is_file) => {
                let verdict = match closed {
                    Ok(()) => Verdict::Held,
                    Err(error) => Verdict::Missed(vec![format!("{error:#}")]),
                };
                acts.push(Act { name, at, verdict, figures: Vec::new() });
            }
            () = stop.cancelled() => interrupted = Some(name),
        }
    }
    let database = if database.is_some() { "Postgres" } else { "SQLite" };
    Ok(Report { database, rate: chaos.rate, acts, requests, interrupted })
}

/// Starts the server, deploys the first version and begins the traffic.
async fn open(chaos: &Chaos, place: &Place, database: Option<&OwnDatabase>) -> anyhow::Result<Show> {
    let url = database.map(|database| database.url.clone());
    let mut stage = Stage::new(&place.folder, &place.data, url)?;
    say(&format!("        starting a server on {}", stage.address));
    stage.set_clock_wrong_by(0)?;
    stage.start().await?;
    let door = stage.door();
    let toy = Toy::new(1)?;
    let (model, first) = door.push("toy", None, &toy.config, toy.archive).await?;
    say("        deploying a toy");
    let ramp = Duration::from_secs((chaos.seconds / 5).clamp(15, 60));
    let plan = Plan {
        address: stage.address,
        host: "localhost".into(),
        path: format!("/model/{model}/environments/production/predict"),
        key: stage.key.clone(),
        body: "{}".into(),
        rate: chaos.rate,
        length: Duration::from_secs(7 * 86_400),
    };
    let ready = async |show: &Show| -> anyhow::Result<()> {
        show.wait_for(&first, &["ACTIVE"], Duration::from_secs(300)).await?;
        show.set(2).await?;
        show::until("there were not 2 replicas", Duration::from_secs(60), async || {
            let environment = show.environment().await?;
            Ok((environment["current_deployment"]["active_replica_count"] == 2).then_some(()))
        })
        .await
    };
    // Nothing is sent before it is ready.
    let quiet = Running::start(Plan { rate: 1, length: Duration::ZERO, ..plan.clone() });
    let show = Show::new(stage, quiet, model.clone(), ramp, 0);
    ready(&show).await?;
    let Show { stage, .. } = show;
    say(&format!("        {} requests a second begin", chaos.rate));
    Ok(Show::new(stage, Running::start(plan), model, ramp, chaos.rate))
}

/// Deletes the model, ends the server and looks at what is left.
async fn close(mut stage: Stage, model: &str, is_file: bool) -> anyhow::Result<()> {
    stage.door().delete(&format!("/v1/models/{model}")).await?;
    let (data, server) = (stage.data.clone(), stage.pid());
    show::until("processes were left of a deleted model", Duration::from_secs(60), async || {
        Ok(processes::below(&data, server).is_empty().then_some(()))
    })
    .await?;
    stage.end().await?;
    if is_file { check_file(&stage.data.join("slipway.db")).await } else { Ok(()) }
}

/// Fails if it is damaged or missing.
async fn check_file(path: &Path) -> anyhow::Result<()> {
    let store = Store::open_as_is(path).await?;
    let checked = store.check_whole(path).await;
    store.close().await;
    ensure!(checked.is_ok(), "the database is damaged: {checked:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_missing_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let missing = check_file(&folder.path().join("slipway.db")).await.unwrap_err().to_string();
        assert!(missing.contains("there is no database"), "{missing}");
    }

    #[test]
    fn where_no_report_can_go_is_known_before_anything_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new.md"), folder.path().join("old.md"));
        std::fs::write(&old, "of yesterday").unwrap();
        check_path(&new).unwrap();
        check_path(&old).unwrap();
        assert!(!new.exists());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "of yesterday");
        let refused = check_path(&folder.path().join("missing/new.md")).unwrap_err().to_string();
        assert!(refused.contains("name another file"), "{refused}");
    }
}

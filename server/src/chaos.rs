//! `slipway doctor --chaos`: breaks a server of its own while it serves a model under load, and reports what held.

mod acts;
mod disk;
mod door;
mod processes;
mod report;
mod show;
mod stage;
mod toy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use store::{OwnDatabase, Store};

use crate::load::{Plan, Running};
use report::Report;
use show::Show;
use stage::Stage;
use toy::Toy;

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

/// Everything of one run: a folder that goes with it, and the processes that work below it.
pub struct Place {
    folder: PathBuf,
    data: PathBuf,
    /// Why it has no disk of its own.
    own_disk: Result<(), String>,
}

impl Place {
    /// Makes the folder, on a disk of its own where that is permitted. Call it while there is one thread.
    pub fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("slipway-chaos-{}", crate::random::word::<8>()));
        let data = folder.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("{} could not be made", data.display()))?;
        let own_disk = disk::mount_at(&data)
            .map_err(|error| format!("the server got no small disk of its own ({error}): run this as root"));
        Ok(Self { folder, data, own_disk })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        processes::kill(&processes::below(&self.data, None));
        if self.own_disk.is_ok() {
            let _ = rustix::mount::unmount(&self.data, rustix::mount::UnmountFlags::DETACH);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs it all, and writes the report. Fails if something did not hold.
pub async fn run(chaos: &Chaos, place: &Place) -> anyhow::Result<ExitCode> {
    let database = match &chaos.postgres {
        None => None,
        Some(url) => {
            let name = format!("slipway_chaos_{}", crate::random::word::<8>());
            Some(OwnDatabase::create(url, &name).await.context("no database could be made on Postgres")?)
        }
    };
    let played = tokio::select! {
        played = play(chaos, place, database.as_ref()) => played,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Some(database) = database {
        // Whatever still works below the folder uses it.
        processes::kill(&processes::below(&place.data, None));
        database.remove().await.context("the database could not be removed")?;
    }
    let report = match played {
        Ok(report) => report,
        Err(error) => {
            let kept = std::env::temp_dir().join("slipway-chaos-server.log");
            match std::fs::copy(place.folder.join("server.log"), &kept) {
                Ok(_) => bail!("{error:#}; the server's log is {}", kept.display()),
                Err(_) => return Err(error),
            }
        }
    };
    std::fs::write(&chaos.report, report.text())
        .with_context(|| format!("the report could not be written to {}", chaos.report.display()))?;
    println!("{}", report.text());
    if report.held() {
        return Ok(ExitCode::SUCCESS);
    }
    let kept = chaos.report.with_extension("log");
    if std::fs::copy(place.folder.join("server.log"), &kept).is_ok() {
        eprintln!("the server's log is {}", kept.display());
    }
    Ok(ExitCode::FAILURE)
}

async fn play(chaos: &Chaos, place: &Place, database: Option<&OwnDatabase>) -> anyhow::Result<Report> {
    let mut show = open(chaos, place, database).await?;
    let (mut second, mut third) = (String::new(), String::new());
    let own_disk = place.own_disk.as_ref().copied().map_err(String::as_str);
    macro_rules! act {
        ($name:literal, $act:expr) => {{
            let at = show.passed();
            let outcome = $act.await;
            show.note($name, at, outcome);
        }};
    }
    act!("a canary begins", show.begin_canary(&mut second));
    act!("the server is killed in the middle of the canary", show.kill_server_in_canary());
    act!("the clock leaps an hour ahead, and back", show.skew_clock());
    act!("a new server takes over", show.take_over());
    act!("replicas are killed", show.kill_replicas(4));
    act!("the database's connections end", show.cut_database(database));
    act!("the canary comes to its end", show.finish_canary(&second));
    act!("a build is killed, and the server while it builds", show.kill_build(&mut third));
    act!("a canary is canceled", show.cancel_canary(&third));
    act!("production scales up and down", show.scale());
    act!("the disk is full", show.fill_disk(own_disk));
    while show.passed() < Duration::from_secs(chaos.seconds) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    act!("a new server takes over again", show.take_over());
    let (at, model) = (show.passed(), show.model.clone());
    let (stage, mut acts, requests) = show.end().await?;
    let closed = close(stage, &model).await;
    let verdict = match closed {
        Ok(()) => report::Verdict::Held,
        Err(error) => report::Verdict::Missed(vec![format!("{error:#}")]),
    };
    let name = "the model is deleted: nothing runs any more, the database is whole";
    acts.push(report::Act { name, at, verdict, figures: Vec::new() });
    let database = if database.is_some() { "Postgres" } else { "SQLite" };
    Ok(Report { database, rate: chaos.rate, acts, requests })
}

/// Starts the server, deploys the first version and begins the traffic.
async fn open(chaos: &Chaos, place: &Place, database: Option<&OwnDatabase>) -> anyhow::Result<Show> {
    let url = database.map(|database| database.url.clone());
    let mut stage = Stage::new(&place.folder, &place.data, url)?;
    eprintln!("        starting a server on {}", stage.address);
    stage.set_clock_wrong_by(0)?;
    stage.start().await?;
    let door = stage.door();
    let toy = Toy::new(1)?;
    let (model, first) = door.push("toy", None, &toy.config, toy.archive).await?;
    eprintln!("        deploying a toy");
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
    let show = Show::new(stage, quiet, model.clone(), ramp);
    ready(&show).await?;
    let Show { stage, .. } = show;
    eprintln!("        {} requests a second begin", chaos.rate);
    Ok(Show::new(stage, Running::start(plan), model, ramp))
}

/// Deletes the model, ends the server and looks at what is left.
async fn close(mut stage: Stage, model: &str) -> anyhow::Result<()> {
    stage.door().delete(&format!("/v1/models/{model}")).await?;
    let (data, server) = (stage.data.clone(), stage.pid());
    show::until("processes were left of a deleted model", Duration::from_secs(60), async || {
        Ok(processes::below(&data, server).is_empty().then_some(()))
    })
    .await?;
    stage.end().await?;
    check_file(&stage.data.join("slipway.db")).await
}

async fn check_file(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let store = Store::open_as_is(path).await?;
    let checked = store.check_whole(path).await;
    store.close().await;
    ensure!(checked.is_ok(), "the database is damaged: {checked:?}");
    Ok(())
}

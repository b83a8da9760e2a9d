//! The commands of `slipway`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use domain::Clock;

use crate::backup::Backup;
use crate::chaos::{self, Chaos};
use crate::clock::SystemClock;
use crate::config::{Config, Settings};
use crate::{client, doctor, load, restore, serve, telemetry, trussrc};

/// A self-hosted control plane for machine-learning models.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve {
        /// Take over from the server that runs on the same data folder, if one does: its sockets, then its models. No
        /// connection is refused meanwhile; the former one finishes what it has begun, and ends
        #[arg(long)]
        take_over: bool,
    },
    /// Check this machine: names, ports, Python, disk, database; or, with --chaos, what a server on it survives
    Doctor(Chaos),
    /// Print a one-time link to the dashboard: the first makes the first admin, later ones sign in
    Login {
        /// Whom the link signs in; the oldest admin if it is left out
        email: Option<String>,
    },
    /// Save the database, the pushed code and the key of secrets to a new folder, while the server runs or not
    ///
    /// Use the settings of the server. What can be made again (Python environments, caches) and logs are left out.
    Backup {
        /// The folder to make
        target: PathBuf,
        /// Leave the key of secrets out, to be kept elsewhere
        #[arg(long)]
        without_key: bool,
    },
    /// Make a data folder of a backup, at --data-dir, which must not exist yet
    Restore {
        /// The backup's folder
        source: PathBuf,
    },
    /// API keys
    #[command(subcommand)]
    Key(Key),
    /// Print the section of ~/.trussrc that points the truss command here, with a new API key
    Trussrc {
        /// Write it to ~/.trussrc (or $USER_TRUSSRC_PATH)
        #[arg(long)]
        write: bool,
        /// Name of the remote
        #[arg(long, default_value = "slipway")]
        remote: String,
    },
    /// Send steady traffic to a model of the server that runs here, and print what came of it
    ///
    /// Requests are sent when they are due, whatever became of those before; none is sent twice.
    Load(Load),
}

#[derive(Debug, clap::Args)]
struct Load {
    /// The model's id
    model: String,
    /// The environment whose address is called
    #[arg(long, default_value = "production", conflicts_with = "deployment")]
    environment: String,
    /// Call this deployment's own address instead
    #[arg(long)]
    deployment: Option<String>,
    /// Requests a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For how long
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The body of each request, as JSON
    #[arg(long, default_value = "{}")]
    body: String,
    /// An API key that may call the model
    #[arg(long, env = "SLIPWAY_API_KEY", hide_env_values = true)]
    key: String,
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Create an API key and print it once
    Create {
        /// What people will read where the key was used: lower-case letters, digits and hyphens
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = Role::Deployer)]
        role: Role,
    },
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Call models
    Invoker,
    /// Read metrics
    Exporter,
    /// Make and revoke keys that call models or read metrics
    Keykeeper,
    /// Look at everything, and call models
    Viewer,
    /// Push, promote and change, too
    Deployer,
    /// Everything: keys and people, too
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoker => "invoker",
            Self::Exporter => "exporter",
            Self::Keykeeper => "keykeeper",
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }
}

/// Does what the command line says. What goes wrong is one line on standard error, and exit code 1.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("slipway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.settings.load()?;
    match &arguments.command {
        Command::Serve { take_over } => {
            telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
            let runtime = runtime()?;
            let served = runtime.block_on(serve::run(config, *take_over));
            // Tasks end, and with them what they had started; whoever ends it twice does not want to wait for what may block.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            served?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(asked) if asked.chaos => {
            let place = chaos::Place::make()?;
            runtime()?.block_on(chaos::run(asked, &place))
        }
        Command::Doctor(_) => runtime()?.block_on(doctor::run(&config)),
        Command::Login { email } => runtime()?.block_on(login(&config, email.as_deref())),
        Command::Key(Key::Create { name, role }) => runtime()?.block_on(create_key(&config, name, *role)),
        Command::Backup { target, without_key } => {
            let now = SystemClock::new().now();
            let backup = Backup { config: &config, target, with_key: !without_key, now };
            runtime()?.block_on(saved(backup.write(&progress)))
        }
        Command::Restore { source } => {
            runtime()?.block_on(saved(restore::restore(&config, source, &progress)))
        }
        Command::Load(load) => runtime()?.block_on(send_load(&config, load)),
        Command::Trussrc { write, remote } => runtime()?.block_on(write_trussrc(&config, *write, remote)),
    }
}

/// The application's own small runtime; the gateway has its threads to itself.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("slipway-app")
        .enable_all()
        .build()?)
}

fn progress(step: String) {
    eprintln!("{step}");
}

/// Prints what came of a backup or restore. Ctrl-C ends it, and what was begun goes as far as nobody writes to it.
async fn saved(work: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<ExitCode> {
    tokio::select! {
        told = work => println!("{}", told?),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted; a folder ending in .part beside it can be removed, if it is there"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn login(config: &Config, email: Option<&str>) -> anyhow::Result<ExitCode> {
    let link = client::Local::find(config)?.sign_in_link(email).await?;
    println!("{link}");
    eprintln!("Open it within 15 minutes; it works once.");
    Ok(ExitCode::SUCCESS)
}

async fn create_key(config: &Config, name: &str, role: Role) -> anyhow::Result<ExitCode> {
    let key = client::Local::find(config)?.create_key(name, role.as_str()).await?;
    println!("{key}");
    eprintln!("This key is shown once; keep it like a password.");
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 if anything failed.
async fn send_load(config: &Config, load: &Load) -> anyhow::Result<ExitCode> {
    let local = client::Local::find(config)?;
    let model = domain::parse_id("model", &load.model)?;
    let target = match &load.deployment {
        Some(deployment) => format!("deployment/{}", domain::parse_id("deployment", deployment)?),
        None => format!("environments/{}", domain::EnvironmentName::new(load.environment.clone())?),
    };
    serde_json::from_str::<serde_json::Value>(&load.body)
        .map_err(|error| anyhow::anyhow!("--body is not JSON: {error}"))?;
    let plan = load::Plan {
        address: local.address,
        host: "localhost".into(),
        path: format!("/model/{model}/{target}/predict"),
        key: load.key.clone(),
        body: load.body.clone().into(),
        rate: load.rate,
        length: std::time::Duration::from_secs(load.seconds),
    };
    let totals = load::send(plan, |totals| eprintln!("{}", totals.sentence())).await;
    println!("{}", totals.sentence());
    Ok(if totals.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn write_trussrc(config: &Config, write: bool, remote: &str) -> anyhow::Result<ExitCode> {
    let local = client::Local::find(config)?;
    let path = trussrc::path()?;
    let key = local.create_key(&trussrc::key_name(remote), Role::Deployer.as_str()).await?;
    let section = trussrc::section(remote, &local.public_url, &key);
    if !write {
        println!("{section}");
        eprintln!("Put this into {}, or add --write.", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    trussrc::write(&path, remote, &section)?;
    println!("{}: section [{remote}] now points to {}", path.display(), local.public_url);
    Ok(ExitCode::SUCCESS)
}

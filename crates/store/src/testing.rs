//! Databases for tests: a SQLite file in a temporary folder, or a Postgres server started for this process.
//!
//! `SLIPWAY_TEST_POSTGRES_URL` names a server to use instead (`postgres://user@host:port/database`); otherwise Debian's
//! binaries are started on a socket of their own. Without either a test fails; it never skips.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::pool::Pool;
use crate::{Error, OwnDatabase, Store};

/// A database of its own for one test; gone with it.
pub struct Scratch {
    pub store: Store,
    /// What [`Store::open`] takes to open it once more.
    pub address: String,
    _folder: Option<tempfile::TempDir>,
}

impl Store {
    /// Lets the SQLite file stay as large as it is: what needs more room fails as on a full disk.
    pub async fn allow_no_growth(&self) -> Result<(), Error> {
        self.limit_pages(1).await
    }

    /// Lifts what [`Store::allow_no_growth`] imposed.
    pub async fn allow_growth(&self) -> Result<(), Error> {
        self.limit_pages(1 << 30).await
    }

    /// SQLite makes it the present size if that is more.
    async fn limit_pages(&self, pages: u32) -> Result<(), Error> {
        if let Pool::Sqlite { writer, .. } = self.pool() {
            // Such a failure costs the connection; the next one is to be as poor.
            let options = writer.connect_options().as_ref().clone();
            writer.set_connect_options(options.pragma("max_page_count", pages.to_string()));
            let text = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            sqlx::query(text).execute(writer).await?;
        }
        Ok(())
    }

    /// Lets every write to the SQLite file fail, whatever room there is; or none any more.
    pub async fn refuse_writes(&self, refuse: bool) -> Result<(), Error> {
        if let Pool::Sqlite { writer, .. } = self.pool() {
            let text = sqlx::AssertSqlSafe(format!("PRAGMA query_only = {refuse}"));
            sqlx::query(text).execute(writer).await?;
        }
        Ok(())
    }

    /// Counts what is committed to the SQLite file from now on.
    pub async fn count_commits(&self) -> Result<Arc<AtomicU64>, Error> {
        let count = Arc::new(AtomicU64::new(0));
        if let Pool::Sqlite { writer, .. } = self.pool() {
            let counted = count.clone();
            let mut connection = writer.acquire().await?;
            connection.lock_handle().await?.set_commit_hook(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                // It is committed.
                true
            });
        }
        Ok(count)
    }
}

/// A SQLite file.
///
/// # Panics
/// If it can't be made: there is no test without it.
pub async fn sqlite() -> Scratch {
    let folder = must(tempfile::tempdir(), "a temporary folder");
    let address = folder.path().join("test.db").display().to_string();
    let store = must(Store::open(&address).await, "a SQLite file");
    Scratch { store, address, _folder: Some(folder) }
}

/// The address of a Postgres server on which databases may be made.
///
/// # Panics
/// If no server can be reached or started.
pub async fn postgres_server() -> String {
    match std::env::var("SLIPWAY_TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => {
            let folder = tokio::task::spawn_blocking(|| server().to_path_buf()).await;
            let folder = must(folder, "a Postgres server");
            format!("postgres://postgres@localhost/postgres?host={}", folder.display())
        }
    }
}

/// A database on Postgres.
///
/// # Panics
/// If no server can be reached or started.
pub async fn postgres() -> Scratch {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let name = format!("slipway_test_{}_{number}", std::process::id());
    let base = postgres_server().await;
    let own = must(OwnDatabase::create(&base, &name).await, "a database");
    let address = own.url;
    let store = must(Store::open(&address).await, "a migrated database");
    Scratch { store, address, _folder: None }
}

/// The folder with the socket of this process's server, which is started at the first call.
fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(start_server)
}

fn start_server() -> PathBuf {
    Cluster::start("-c listen_addresses=").folder
}

/// A Postgres server that a test has for itself, and may stop. It is reached by TCP, and gone with this process. It takes Debian's
/// binaries, whatever server is named for other tests.
pub struct OwnServer {
    cluster: Cluster,
    /// Where databases may be made.
    pub url: String,
}

impl OwnServer {
    /// # Panics
    /// If it can't be started.
    pub fn start() -> Self {
        // Above the ports that the kernel gives to whoever asks for any: nobody takes it while the server is stopped.
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let first = 61_000 + (std::process::id() % 4_000) as u16;
        let port = must((first..u16::MAX).find(free).ok_or(()), "a free port");
        let cluster = Cluster::start(&format!("-c listen_addresses=127.0.0.1 -c port={port}"));
        Self { cluster, url: format!("postgres://postgres@127.0.0.1:{port}/postgres") }
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&self) {
        self.cluster.control(&["-m", "immediate", "stop"]);
    }

    /// Starts it after [`OwnServer::stop`]; it takes connections then.
    ///
    /// # Panics
    /// If it does not start.
    pub fn go_on(&self) {
        self.cluster.control(&["start"]);
    }

    /// Both at once, as an upgrade of its package does.
    ///
    /// # Panics
    /// If it does not come back.
    pub fn restart(&self) {
        self.cluster.control(&["-m", "immediate", "restart"]);
    }
}

/// A Postgres server of this process, with its data.
struct Cluster {
    binaries: PathBuf,
    /// Its socket is here, too.
    folder: PathBuf,
    options: String,
    root: bool,
}

impl Cluster {
    /// Makes it and starts it; `listen` says where it is reached by TCP.
    fn start(listen: &str) -> Self {
        let binaries =
            must(find_binaries().ok_or(()), "Postgres' binaries; install Debian's package `postgresql`");
        let folder =
            must(tempfile::Builder::new().prefix("slipway-pg-").tempdir(), "a temporary folder").keep();
        let root = rustix_is_root();
        if root {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let options = format!(
            "{listen} -c unix_socket_directories={} -c fsync=off -c max_connections=200",
            folder.display()
        );
        let cluster = Self { binaries, folder, options, root };
        run(cluster
            .program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(cluster.data()));
        cluster.control(&["start"]);
        stop_with_this_process(&cluster.binaries, &cluster.data(), root);
        cluster
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of Postgres' programs, as its user.
    fn program(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        let mut command = if self.root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder).env_remove("LC_ALL");
        command
    }

    /// Starts or stops it, and waits until that is done.
    fn control(&self, arguments: &[&str]) {
        run(self
            .program("pg_ctl")
            .args(["-w", "-D"])
            .arg(self.data())
            .args(["-o", &self.options, "-l"])
            .arg(self.folder.join("log"))
            .args(arguments));
    }
}

/// A watcher that outlives the test process by a moment, stops its server and removes the folder.
#[expect(clippy::zombie_processes, reason = "it waits for us to end, so nobody is left to wait for it")]
fn stop_with_this_process(binaries: &Path, data: &Path, root: bool) {
    let prefix = if root { "setpriv --reuid=postgres --regid=postgres --clear-groups " } else { "" };
    let script = format!(
        "while kill -0 {pid} 2>/dev/null; do sleep 0.2; done; {prefix}{pg_ctl} -m immediate -D {data} stop; rm -rf {folder}",
        pid = std::process::id(),
        pg_ctl = binaries.join("pg_ctl").display(),
        data = data.display(),
        folder = data.parent().unwrap_or(data).display(),
    );
    let watcher = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    must(watcher, "a watcher of the Postgres server");
}

fn find_binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    versions.into_iter().rev().find(|bin| bin.join("initdb").is_file() && bin.join("pg_ctl").is_file())
}

fn rustix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn run(command: &mut Command) {
    let done =
        must(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output(), "a command");
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?} failed: {text}");
}

fn must<T, E: std::fmt::Debug>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("this test needs {what}: {error:?}"),
    }
}

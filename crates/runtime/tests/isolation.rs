//! What a model that means harm can't do, with real processes. They need bubblewrap, and a machine that lets it make sandboxes.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::Duration;

use domain::{ObservedReplica, Runtime, StopReason};
use runtime::{Isolated, Isolation, IsolationSettings, isolation};
use serde_json::Value;
use support::{Data, Life, ask, custom, folder};

const OBEDIENT: &str = include_str!("support/obedient.py");
const LONG: Duration = Duration::from_secs(60);

/// As the server is set up usually: as users of their own where it is root; and as the server's user.
fn ways() -> [IsolationSettings; 2] {
    let usual = IsolationSettings::default();
    let found = isolation(&usual, Path::new("/nowhere"));
    assert!(
        matches!(found, Isolated::Fully(_)),
        "`cargo xtask setup --tests` installs bubblewrap, which this needs: {found}"
    );
    [usual.clone(), IsolationSettings { users: None, ..usual }]
}

async fn begin(data: &Data, settings: &IsolationSettings) -> (Life, Value) {
    let config = custom(data.path(), OBEDIENT);
    let life = Life::begin_isolated(data.path(), settings.clone()).await;
    life.build(&config).await.unwrap();
    (life, config)
}

/// What comes of an expression in the model's own process.
async fn says(replica: &ObservedReplica, expression: &str) -> String {
    let answer = ask(replica.port, "POST /", expression).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn refuses(replica: &ObservedReplica, expression: &str) {
    let said = says(replica, expression).await;
    assert!(said.starts_with("refused: "), "{expression}: {said}");
}

async fn end(life: &Life, replica: &ObservedReplica) {
    life.runtime.stop(&replica.id, LONG, StopReason::Asked).await;
    life.ended(&replica.id).await;
}

fn read(path: &Path) -> String {
    format!("open({:?}).read()", path.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_reads_nothing_of_the_server_or_of_others() {
    for settings in ways() {
        let data = folder();
        for name in ["slipway.db", "secret.key", "local.json"] {
            std::fs::write(data.path().join(name), "everything").unwrap();
        }
        let (life, config) = begin(&data, &settings).await;
        let one = life.start("r1", &config).await;
        let other = life.start("r2", &config).await;
        let (one, other) = (life.ready(&one).await, life.ready(&other).await);
        let theirs = data.path().join("replicas/r2");
        std::fs::write(theirs.join("home/note"), "private").unwrap();

        let at = |name: &str| data.path().join(name);
        let hidden = ["slipway.db", "secret.key", "local.json", "artifacts/art1/server.py"].map(at);
        let hidden = hidden
            .into_iter()
            .chain(["app/server.py", "home/note", "replica.json"].map(|name| theirs.join(name)));
        for path in hidden {
            assert!(path.exists(), "{}", path.display());
            refuses(&one, &read(&path)).await;
        }
        // Not by way of their processes either.
        for pid in [std::process::id(), other.pid.unwrap()] {
            refuses(&one, &read(Path::new(&format!("/proc/{pid}/environ")))).await;
            refuses(&one, &format!("os.listdir('/proc/{pid}/root')")).await;
            refuses(&one, &format!("os.kill({pid}, 0)")).await;
        }
        let elsewhere = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        refuses(&one, &read(elsewhere.path())).await;
        for name in ["shadow", "ssl/private", "sudoers"] {
            refuses(&one, &format!("os.stat('/etc/{name}')")).await;
        }
        refuses(&one, "os.setuid(0) or os.chown('.', 0, 0) or os.chroot('.') ").await;
        let status = says(&one, "open('/proc/self/status').read()").await;
        for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{line} in {status}");
        }
        let users = (says(&one, "os.getuid()").await, says(&other, "os.getuid()").await);
        let server = rustix::process::geteuid();
        if server.is_root() && settings.users.is_some() {
            assert!(users.0 != users.1 && users.0 != "0" && users.1 != "0", "{users:?}");
        } else {
            assert_eq!(users.0, server.as_raw().to_string());
        }
        end(&life, &one).await;
        end(&life, &other).await;
        assert!(data.processes().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_writes_where_it_lives_and_nowhere_else() {
    for settings in ways() {
        let data = folder();
        let (life, config) = begin(&data, &settings).await;
        let one = life.start("r1", &config).await;
        let other = life.start("r2", &config).await;
        let (one, other) = (life.ready(&one).await, life.ready(&other).await);
        let own = data.path().join("replicas/r1");
        let write = |path: &Path| format!("open({:?}, 'w').write('x')", path.display().to_string());
        for path in
            [own.join("app/x"), own.join("home/x"), "/tmp/x".into(), "/var/tmp/y".into(), "/dev/shm/x".into()]
        {
            assert_eq!(says(&one, &write(&path)).await, "1", "{}", path.display());
        }
        assert!(own.join("tmp/x").exists() && own.join("tmp/y").exists(), "/tmp lies in its own folder");
        for path in ["/tmp/x", "/dev/shm/x"] {
            assert_eq!(says(&other, &format!("os.path.exists('{path}')")).await, "False");
        }
        // What the server reads of it can't be changed, nor put in place of something else.
        for name in ["replica.json", "out", "x", "dynamic_config/environment", "packages/x"] {
            refuses(&one, &write(&own.join(name))).await;
        }
        refuses(&one, &format!("os.rename('{0}/app', '{0}/other')", own.display())).await;
        refuses(&one, &format!("os.remove('{}/out')", own.display())).await;
        let python = says(&one, "os.environ['VIRTUAL_ENV']").await;
        refuses(&one, &write(&Path::new(&python).join("x"))).await;
        for path in ["/x", "/usr/x", "/etc/passwd"] {
            refuses(&one, &write(Path::new(path))).await;
        }
        for path in
            ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/devices/system/cpu/cpu0/online"]
        {
            refuses(&one, &format!("os.open('{path}', os.O_WRONLY)")).await;
        }
        // Who it is has a name, which libraries ask for, and a home.
        assert_eq!(
            says(&one, "__import__('pwd').getpwuid(os.getuid()).pw_dir").await,
            own.join("home").display().to_string()
        );
        end(&life, &one).await;
        end(&life, &other).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_model_started_ends_with_it() {
    for settings in ways() {
        let data = folder();
        let (life, config) = begin(&data, &settings).await;
        let id = life.start("r1", &config).await;
        let ready = life.ready(&id).await;
        // In a session of its own, where no signal to the group reaches it, and under another name.
        let away = "__import__('subprocess').Popen(['sleep', '600'], env={}, start_new_session=True).pid > 0";
        assert_eq!(says(&ready, away).await, "True");
        let started = children(ready.pid.unwrap());
        assert_eq!(started.len(), 1);
        end(&life, &ready).await;
        // Of one that is over and was not collected yet the kernel tells no program.
        assert!(std::fs::read_link(format!("/proc/{}/exe", started[0])).is_err());
    }
}

/// What a process has started.
fn children(parent: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let texts =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    texts
        .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_told_from_a_code() {
    for settings in ways() {
        let data = folder();
        let (life, config) = begin(&data, &settings).await;
        for (id, expression, expected) in
            [("r1", "os.kill(os.getpid(), 9)", (None, Some(9))), ("r2", "os._exit(7)", (Some(7), None))]
        {
            let id = life.start(id, &config).await;
            let ready = life.ready(&id).await;
            let _ = ask(ready.port, "POST /", expression).await;
            let (code, signal, reason) = life.ended(&id).await;
            assert_eq!((code, signal), expected, "{reason}");
        }
    }
}

#[test]
fn the_next_server_adopts_what_runs_in_a_sandbox() {
    for settings in ways() {
        let data = folder();
        let threads = tokio::runtime::Runtime::new().unwrap();
        let (before, config) = threads.block_on(async {
            let (life, config) = begin(&data, &settings).await;
            let id = life.start("r1", &config).await;
            (life.ready(&id).await, config)
        });
        // Nothing of the former server goes on after this, and nothing was told to anybody.
        threads.shutdown_timeout(Duration::from_secs(10));
        let threads = tokio::runtime::Runtime::new().unwrap();
        threads.block_on(async {
            let life = Life::begin_isolated(data.path(), settings.clone()).await;
            let after = life.replica(&before.id).unwrap();
            assert_eq!((after.pid, after.port, after.ready_at), (before.pid, before.port, before.ready_at));
            refuses(&after, &read(&data.path().join("artifacts/art1/server.py"))).await;
            assert!(life.runtime.uses(&after.id).await.unwrap().memory > 1 << 20, "its program counts");
            let next = life.start("r2", &config).await;
            let next = life.ready(&next).await;
            end(&life, &next).await;
            end(&life, &after).await;
        });
        assert!(data.processes().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_names_is_read_and_no_more() {
    for settings in ways() {
        let shelf = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::set_permissions(shelf.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(shelf.path().join("weights"), "heavy").unwrap();
        // Naming what holds the data folder does not show it.
        let data = support::folder_in(shelf.path());
        let settings = IsolationSettings { readable: vec![shelf.path().to_owned()], ..settings };
        std::fs::write(data.path().join("secret.key"), "everything").unwrap();
        let (life, config) = begin(&data, &settings).await;
        let id = life.start("r1", &config).await;
        let ready = life.ready(&id).await;
        assert_eq!(says(&ready, &read(&shelf.path().join("weights"))).await, "heavy");
        refuses(&ready, &format!("open('{}/x', 'w')", shelf.path().display())).await;
        refuses(&ready, &read(&data.path().join("secret.key"))).await;
        end(&life, &ready).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_models_variables_are_its_own() {
    for settings in ways() {
        let data = folder();
        let mut config = custom(data.path(), OBEDIENT);
        // What it says the loader would load, if it were not missing, into whatever starts with it.
        config["environment_variables"] =
            serde_json::json!({ "LD_PRELOAD": "/nowhere.so", "HOME": "/elsewhere" });
        let life = Life::begin_isolated(data.path(), settings).await;
        life.build(&config).await.unwrap();
        let id = life.start("r1", &config).await;
        let ready = life.ready(&id).await;
        assert_eq!(says(&ready, "os.environ['LD_PRELOAD']").await, "/nowhere.so");
        let home = data.path().join("replicas/r1/home");
        assert_eq!(says(&ready, "os.environ['HOME']").await, home.display().to_string());
        let of_the_sandbox = says(&ready, "open('/proc/1/environ').read()").await;
        assert!(
            !of_the_sandbox.contains("nowhere") && !of_the_sandbox.contains("s3cret"),
            "{of_the_sandbox}"
        );
        end(&life, &ready).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bubblewrap_models_run_as_before_and_the_reason_is_said() {
    let data = folder();
    let settings = IsolationSettings { path: data.path().into(), ..IsolationSettings::default() };
    let Isolated::No(reason) = isolation(&settings, data.path()) else { panic!("there is none") };
    assert!(reason.contains("`bwrap` is not on PATH"), "{reason}");
    std::fs::write(data.path().join("secret.key"), "everything").unwrap();
    let (life, config) = begin(&data, &settings).await;
    let id = life.start("r1", &config).await;
    let ready = life.ready(&id).await;
    assert_eq!(says(&ready, &read(&data.path().join("secret.key"))).await, "everything");
    end(&life, &ready).await;

    let required = IsolationSettings { mode: Isolation::Require, ..settings };
    let refused = Life::try_begin(data.path(), required).await.err().unwrap().to_string();
    assert!(refused.contains("`machine.isolation` is `require`") && refused.contains("bwrap"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_the_machine_refuses_is_said_in_its_words() {
    let data = folder();
    let broken = data.path().join("bwrap");
    std::fs::write(&broken, "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
        .unwrap();
    std::fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let settings = IsolationSettings { path: data.path().into(), ..IsolationSettings::default() };
    let Isolated::No(reason) = isolation(&settings, data.path()) else { panic!("it never works") };
    assert!(reason.contains("No permissions to create new namespace"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_a_package_that_is_built_sees_nothing_of_the_server() {
    for settings in ways() {
        let data = folder();
        std::fs::write(data.path().join("secret.key"), "everything").unwrap();
        let mut config = custom(data.path(), OBEDIENT);
        config["requirements"] = serde_json::json!(["./nosy"]);
        let package = data.path().join("artifacts/art1/nosy");
        std::fs::create_dir_all(&package).unwrap();
        // Its builder has no arguments but what lies beside it.
        let told = format!(
            "import os\nos.environ.update(NOSY_DATA={:?}, NOSY_SERVER='{}')\n",
            data.path().display().to_string(),
            std::process::id()
        );
        std::fs::write(package.join("nosy_builder.py"), told + include_str!("support/nosy.py")).unwrap();
        let project = "[build-system]\nrequires = []\nbuild-backend = 'nosy_builder'\nbackend-path = ['.']\n\
                       [project]\nname = 'nosy'\nversion = '1'\n";
        std::fs::write(package.join("pyproject.toml"), project).unwrap();
        let life = Life::begin_isolated(data.path(), settings).await;
        life.build(&config).await.unwrap_or_else(|failure| panic!("{}", failure.reason));
        let id = life.start("r1", &config).await;
        let ready = life.ready(&id).await;
        assert_eq!(says(&ready, "__import__('nosy').said['planted']").await, "yes");
        assert_eq!(std::fs::read_to_string(data.path().join("secret.key")).unwrap(), "everything");
        for what in ["key", "other", "server", "pushed"] {
            let said = says(&ready, &format!("__import__('nosy').said[{what:?}]")).await;
            assert_eq!(said, "refused: FileNotFoundError", "{what}");
        }
        end(&life, &ready).await;
    }
}

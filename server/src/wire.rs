//! Makes the parts, and hands each what it needs of the others.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use axum::Router;
use control::{ControlPlane, NewKey};
use domain::{AppliedRoutes, Clock, Host, Runtime, Timestamp, Traffic};
use engine::{Engine, Publisher, Wakes};
use store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::backend::{Dashboard, Trial};
use crate::changes::Changes;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::guard::Names;
use crate::random;
use crate::rollouts::Rollouts;
use crate::router::{Doors, router};
use crate::secret_key;
use crate::uploads::{BUCKET, Grant, Grants, Uploads};
use crate::uses::Uses;

/// What starts processes, and what carries requests to them.
pub struct Machinery {
    pub runtime: Arc<dyn Runtime>,
    /// What models may use of the machine.
    pub host: Arc<Host>,
    pub traffic: Arc<dyn Traffic>,
    pub applied: Arc<dyn AppliedRoutes>,
    pub publisher: Arc<dyn Publisher>,
    pub wakes: Arc<Wakes>,
}

/// What is known only once the port is bound.
pub struct Place {
    /// An address of this machine on which the server answers.
    pub address: SocketAddr,
    pub public_url: Arc<str>,
    /// A key that calls models and exists only in this process.
    pub trial_key: Arc<str>,
    /// Opens the door for this machine's own command line.
    pub local_secret: Arc<str>,
}

/// The application, ready to be served.
pub struct Wired {
    pub control: ControlPlane,
    pub engine: Engine,
    pub router: Router,
    /// The first admin key, at the first start only.
    pub admin_key: Option<NewKey>,
    /// Watches rollouts; to be aborted when the server stops.
    pub following: JoinHandle<()>,
}

/// Wires everything above the machinery.
pub async fn wire(
    config: &Config,
    folder: &DataFolder,
    store: Store,
    clock: Arc<dyn Clock>,
    machinery: Machinery,
    place: &Place,
    changes: Changes,
    shutdown: CancellationToken,
) -> anyhow::Result<Wired> {
    let random: Arc<dyn Fn(&mut [u8]) + Send + Sync> = Arc::new(random::fill);
    let vault = secret_key::vault(config.secret_key.as_ref(), folder)?;
    let control = ControlPlane::open(control::Parts {
        store: store.clone(),
        clock: clock.clone(),
        wake: machinery.wakes.clone(),
        runtime: machinery.runtime.clone(),
        host: machinery.host.clone(),
        traffic: machinery.traffic.clone(),
        applied: machinery.applied,
        changes: changes.sender(),
        random: random.clone(),
        vault: vault.clone(),
        data_dir: folder.path().to_owned(),
    })
    .await?;
    let admin_key = control.ensure_admin_key(config.admin_key.as_deref()).await?;
    warn_of_sealed(&control).await?;
    let rollouts = Rollouts::new(machinery.traffic.clone(), clock.now());
    let engine = Engine::new(engine::Parts {
        store: store.clone(),
        runtime: machinery.runtime.clone(),
        host: machinery.host.clone(),
        builds_at_once: config.limits.builds_at_once,
        traffic: machinery.traffic.clone(),
        publisher: rollouts.before(machinery.publisher),
        clock: clock.clone(),
        wakes: machinery.wakes,
        changes: {
            let changes = changes.clone();
            Arc::new(move |change| changes.tell(change))
        },
        random,
        vault,
    });
    let api = Arc::new(Api {
        control: Arc::new(control.clone()),
        runtime: machinery.runtime,
        clock: clock.clone(),
        host: machinery.host,
        uses: Uses::default(),
        start_times: engine.start_times(),
        public_url: place.public_url.clone(),
        since: first_start(&store, clock.now()).await?,
        artifacts: folder.path().join("artifacts"),
        link_secret: random::bytes(),
        limits: Default::default(),
    });
    let following = rollouts.clone().follow(store.clone(), changes.sender().subscribe());
    let secure = place.public_url.starts_with("https://");
    let backend = Arc::new(Dashboard {
        samples: Arc::default(),
        api: api.clone(),
        traffic: machinery.traffic,
        rollouts,
        trial: Trial { address: place.address, key: place.trial_key.clone(), clock: clock.clone() },
        secure,
    });
    let encrypted = config.tls.iter().flat_map(|tls| &tls.listen);
    let listen: Vec<SocketAddr> = config.listen.iter().chain(encrypted).copied().collect();
    let router = router(Doors {
        api,
        backend,
        changes,
        names: Names::new(&place.public_url, config.domain.as_deref(), &listen),
        secure,
        store,
        uploads: Uploads { grants: Arc::new(Given(control.clone())), clock, folder: folder.uploads() },
        local_secret: place.local_secret.clone(),
        shutdown,
    });
    Ok(Wired { control, engine, router, admin_key, following })
}

/// Tells at the start, and not only when a model needs it, that the key is not the one that sealed the secrets.
async fn warn_of_sealed(control: &ControlPlane) -> anyhow::Result<()> {
    let names = control.unreadable_secrets().await?;
    if !names.is_empty() {
        tracing::error!(
            secrets = ?names,
            "these secrets can't be opened with this server's key; start it with the key that sealed them \
             (secret.key in the data folder, or SLIPWAY_SECRET_KEY), or set them again"
        );
    }
    Ok(())
}

/// When this server was first started, which is written down then.
async fn first_start(store: &Store, now: Timestamp) -> anyhow::Result<Timestamp> {
    const NAME: &str = "first_start";
    if let Some(text) = store.setting(NAME).await? {
        let millis =
            text.parse().with_context(|| format!("the stored setting {NAME} is `{text}`, not a number"))?;
        return Ok(Timestamp::from_millis(millis));
    }
    let mut tx = store.begin().await?;
    tx.set_setting(NAME, &now.millis().to_string()).await?;
    tx.commit().await?;
    Ok(now)
}

/// Leave to upload, as the use cases gave it.
struct Given(ControlPlane);

#[async_trait]
impl Grants for Given {
    async fn find(&self, access_key: &str) -> Option<Grant> {
        let row = match self.0.upload_by_access_key(access_key).await {
            Ok(row) => row?,
            Err(error) => {
                tracing::error!(%error, "the leave to upload could not be read");
                return None;
            }
        };
        Some(Grant {
            bucket: BUCKET.to_owned(),
            file: self.0.upload_path(&row.key),
            key: row.key,
            secret: row.secret,
            session_token: row.session_token,
            expires_at: row.expires_at,
        })
    }
}

/// Where the database is, for logs and the doctor: never with a password.
pub fn database_name(config: &Config, folder: &Path) -> String {
    without_password(&config.database_url(folder))
}

/// The same address, for logs and command lines.
pub fn without_password(url: &str) -> String {
    if store::sqlite_file(url).is_some() {
        return url.to_owned();
    }
    let (head, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = head.split_once("://").unwrap_or(("postgres", head));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The last `@`: one in a password may have been left as it is.
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
        None => authority.to_owned(),
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.to_ascii_lowercase().starts_with("password"))
        .collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    format!("{scheme}://{authority}/{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_left_out_wherever_it_stands() {
        for (url, told) in [
            ("postgres://ada:hush@db:5432/slipway", "postgres://ada@db:5432/slipway"),
            (
                "postgres://ada:hu@sh@db/slipway?password=hush&sslmode=require",
                "postgres://ada@db/slipway?sslmode=require",
            ),
            ("postgresql://db/slipway?host=/run/pg", "postgresql://db/slipway?host=/run/pg"),
            ("sqlite:/var/lib/slipway/slipway.db", "sqlite:/var/lib/slipway/slipway.db"),
        ] {
            assert_eq!(without_password(url), told);
        }
    }
}

//! What can be set, and where: flags and environment first, then the file, then defaults.

mod file;
mod machine;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use http::Uri;
use ipnet::IpNet;
use store::Vault;

use crate::machine::{Machine, MachineSettings};
use file::File;
use runtime::{IsolationSettings, Limits, Retention};

/// The port that clients expect.
pub const PORT: u16 = 8000;
/// The port of encrypted connections, unless others are chosen.
const TLS_PORT: u16 = 8443;

/// Settings as flags or environment variables. Each may also stand in `slipway.toml`.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Settings file; `slipway.toml` in the working folder is read if it exists.
    #[arg(long, env = "SLIPWAY_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for everything Slipway keeps [default: ~/.slipway]
    #[arg(long, env = "SLIPWAY_DATA_DIR", global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Addresses to listen on, separated by commas [default: 127.0.0.1:8000,[::1]:8000]
    #[arg(long, env = "SLIPWAY_LISTEN", global = true, value_name = "ADDRESS", value_delimiter = ',')]
    pub listen: Vec<String>,
    /// The address people and clients use, without a path [default: http://localhost:PORT]
    #[arg(long, env = "SLIPWAY_PUBLIC_URL", global = true, value_name = "URL")]
    pub public_url: Option<String>,
    /// A domain whose names `model-ID.api.DOMAIN` lead here
    #[arg(long, env = "SLIPWAY_DOMAIN", global = true, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Proxies in front, as addresses or networks (10.0.0.0/8), separated by commas: what they say in X-Forwarded-For of where a
    /// request came from reaches the models
    #[arg(
        long,
        env = "SLIPWAY_TRUSTED_PROXIES",
        global = true,
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<String>,
    /// Use this admin API key at the first start instead of a generated one
    #[arg(long, env = "SLIPWAY_ADMIN_KEY", global = true, value_name = "KEY", hide_env_values = true)]
    pub admin_key: Option<String>,
    /// Seal secrets with this key, 32 bytes in base64 [default: secret.key in the data folder]
    #[arg(long, env = "SLIPWAY_SECRET_KEY", global = true, value_name = "KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// `sqlite:FILE` or `postgres://…` [default: slipway.db in the data folder]
    #[arg(long, env = "DATABASE_URL", global = true, value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Leave model processes running when the server stops; the next start takes them over
    #[arg(long, env = "SLIPWAY_KEEP_REPLICAS", global = true)]
    pub keep_replicas: bool,
    /// Permit listening beyond this machine without TLS in front
    #[arg(long, env = "SLIPWAY_INSECURE_HTTP", global = true)]
    pub insecure_http: bool,
    /// PEM file of a certificate and its chain; read again when it changes
    #[arg(long, env = "SLIPWAY_TLS_CERTIFICATE", global = true, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of the certificate's private key
    #[arg(long, env = "SLIPWAY_TLS_KEY", global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Addresses that are encrypted with the certificate [default: 0.0.0.0:8443,[::]:8443]
    #[arg(long, env = "SLIPWAY_TLS_LISTEN", global = true, value_name = "ADDRESS", value_delimiter = ',')]
    pub tls_listen: Vec<String>,
    /// Threads that carry inference requests [default: one per core]
    #[arg(long, env = "SLIPWAY_GATEWAY_THREADS", global = true, value_name = "N")]
    pub gateway_threads: Option<usize>,
    /// Connections of clients that may be open at once [default: three quarters of the files that may be]
    #[arg(long, env = "SLIPWAY_GATEWAY_CONNECTIONS", global = true, value_name = "N")]
    pub gateway_connections: Option<usize>,
    /// What to log: error, warn, info, debug, trace, or a filter [default: info]
    #[arg(long = "log", env = "SLIPWAY_LOG", global = true, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// What the server works with, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: Vec<SocketAddr>,
    /// Whether the addresses were chosen; then failing to bind one of them is an error.
    pub listen_chosen: bool,
    /// Scheme and authority, without a slash at the end. Nothing until the port is known.
    pub public_url: Option<String>,
    /// Where connections are encrypted, and with what.
    pub tls: Option<TlsSettings>,
    pub domain: Option<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub admin_key: Option<String>,
    /// Seals secrets; without it, the data folder's own key does.
    pub secret_key: Option<Vault>,
    pub database_url: Option<String>,
    pub keep_replicas: bool,
    pub gateway_threads: usize,
    /// Connections of clients that may be open at once; by default a part of the files that may be.
    pub gateway_connections: Option<usize>,
    pub log: String,
    /// What models may use of this machine, as far as it is configured.
    pub machine: MachineSettings,
    /// What keeps models from the rest of the machine.
    pub isolation: IsolationSettings,
    /// What builds and replicas may use at most.
    pub limits: Limits,
    /// How long what nobody uses is kept.
    pub keep: Retention,
}

/// Encrypted addresses with their certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    pub listen: Vec<SocketAddr>,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why the settings can't be used; one line that says what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name}: {problem}")]
    Value { name: &'static str, problem: String },
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
}

fn value(name: &'static str, problem: impl Into<String>) -> Error {
    Error::Value { name, problem: problem.into() }
}

impl Settings {
    /// Reads the file, fills in defaults and checks everything.
    pub fn load(&self) -> Result<Config, Error> {
        let file = File::find(self.config.as_deref())?;
        self.over(file)
    }

    fn over(&self, file: File) -> Result<Config, Error> {
        let texts =
            if self.listen.is_empty() { file.listen.unwrap_or_default() } else { self.listen.clone() };
        let listen_chosen = !texts.is_empty();
        let listen = if listen_chosen { addresses("listen", &texts)? } else { default_addresses() };
        let insecure = self.insecure_http || file.insecure_http.unwrap_or(false);
        if let Some(open) = listen.iter().find(|address| !address.ip().is_loopback())
            && !insecure
        {
            return Err(value(
                "listen",
                format!(
                    "{open} is reachable from other machines without encryption; use --tls-certificate, put a TLS \
                     proxy in front and listen on 127.0.0.1, or add --insecure-http"
                ),
            ));
        }
        let tls = tls(
            if self.tls_listen.is_empty() {
                file.tls_listen.unwrap_or_default()
            } else {
                self.tls_listen.clone()
            },
            self.tls_certificate.clone().or(file.tls_certificate),
            self.tls_key.clone().or(file.tls_key),
        )?;
        let public_url =
            self.public_url.clone().or(file.public_url).map(|text| check_public_url(&text)).transpose()?;
        let domain = self.domain.clone().or(file.domain).map(|text| check_domain(&text)).transpose()?;
        let proxies = if self.trusted_proxies.is_empty() {
            file.trusted_proxies.unwrap_or_default()
        } else {
            self.trusted_proxies.clone()
        };
        let trusted_proxies = proxies.iter().map(|text| network(text)).collect::<Result<_, _>>()?;
        let admin_key = self.admin_key.clone().map(check_admin_key).transpose()?;
        let secret_key = self.secret_key.as_deref().map(Vault::from_base64).transpose();
        let secret_key = secret_key.map_err(|problem| value("SLIPWAY_SECRET_KEY", problem))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let gateway_threads = self.gateway_threads.or(file.gateway_threads).unwrap_or(cores);
        if !(1..=256).contains(&gateway_threads) {
            return Err(value("gateway-threads", format!("{gateway_threads} is not within 1 to 256")));
        }
        let gateway_connections = self.gateway_connections.or(file.gateway_connections);
        if let Some(most) = gateway_connections.filter(|most| !(16..=1_000_000).contains(most)) {
            return Err(value("gateway-connections", format!("{most} is not within 16 to 1000000")));
        }
        Ok(Config {
            data_dir: self.data_dir.clone().or(file.data_dir).map_or_else(default_data_dir, Ok)?,
            listen,
            listen_chosen,
            public_url,
            tls,
            domain,
            trusted_proxies,
            admin_key,
            secret_key,
            database_url: self.database_url.clone().or(file.database_url).filter(|url| !url.is_empty()),
            keep_replicas: self.keep_replicas || file.keep_replicas.unwrap_or(false),
            gateway_threads,
            gateway_connections,
            log: self.log.clone().or(file.log).unwrap_or_else(|| "info".into()),
            isolation: machine::isolation(file.machine.as_ref())?,
            limits: machine::limits(file.machine.as_ref(), Machine::read().memory())?,
            machine: machine::machine(file.machine, file.instance_types.unwrap_or_default())?,
            keep: machine::retention(file.keep)?,
        })
    }
}

impl Config {
    /// Where the database is: the configured one, or a file in the data folder.
    pub fn database_url(&self, folder: &std::path::Path) -> String {
        let file = || format!("sqlite:{}", folder.join("slipway.db").display());
        self.database_url.clone().unwrap_or_else(file)
    }

    /// The address for people and clients, when the server listens on `port`.
    pub fn public_url(&self, port: u16) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://localhost:{port}"))
    }
}

fn default_data_dir() -> Result<PathBuf, Error> {
    match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(".slipway")),
        None => Err(value("data-dir", "there is no home folder to keep data in; set SLIPWAY_DATA_DIR")),
    }
}

fn default_addresses() -> Vec<SocketAddr> {
    vec![
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), PORT),
    ]
}

/// A certificate and its key belong together, and encrypted addresses need both.
fn tls(
    listen: Vec<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsSettings>, Error> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let listen = if listen.is_empty() {
                vec![
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), TLS_PORT),
                    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), TLS_PORT),
                ]
            } else {
                addresses("tls-listen", &listen)?
            };
            Ok(Some(TlsSettings { listen, certificate, key }))
        }
        (Some(_), None) => {
            Err(value("tls-key", "is missing; name the file of the certificate's private key"))
        }
        (None, Some(_)) => {
            Err(value("tls-certificate", "is missing; name the file of the key's certificate"))
        }
        (None, None) if listen.is_empty() => Ok(None),
        (None, None) => Err(value(
            "tls-certificate",
            "is missing; encrypted addresses need --tls-certificate and --tls-key",
        )),
    }
}

fn addresses(name: &'static str, texts: &[String]) -> Result<Vec<SocketAddr>, Error> {
    texts
        .iter()
        .map(|text| {
            text.trim().parse().map_err(|_| {
                value(
                    name,
                    format!("`{text}` is not an address with a port, such as 127.0.0.1:8000 or [::1]:8000"),
                )
            })
        })
        .collect()
}

fn check_public_url(text: &str) -> Result<String, Error> {
    let trimmed = text.trim_end_matches('/');
    let wrong = |problem: &str| {
        value("public-url", format!("`{text}` {problem}; use one like https://models.example.org"))
    };
    let uri: Uri = trimmed.parse().map_err(|_| wrong("is not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("is not an http or https URL"));
    }
    if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
        return Err(wrong("has a path"));
    }
    Ok(trimmed.to_owned())
}

/// One address, or a network of them.
fn network(text: &str) -> Result<IpNet, Error> {
    let text = text.trim();
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        let problem =
            format!("`{text}` is neither an address, such as 10.0.0.1, nor a network, such as 10.0.0.0/8");
        value("trusted-proxies", problem)
    })
}

fn check_domain(text: &str) -> Result<String, Error> {
    let name = text.trim().trim_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if name.len() > 200 || !name.split('.').all(label) {
        return Err(value("domain", format!("`{text}` is not a domain name, such as models.example.org")));
    }
    Ok(name)
}

fn check_admin_key(key: String) -> Result<String, Error> {
    if key.len() < 20 || key.len() > 200 || !key.chars().all(|c| c.is_ascii_graphic()) {
        return Err(value("SLIPWAY_ADMIN_KEY", "a key has 20 to 200 printable characters and no spaces"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(addresses: &[&str]) -> Settings {
        Settings {
            listen: addresses.iter().map(ToString::to_string).collect(),
            data_dir: Some("/tmp/x".into()),
            ..Settings::default()
        }
    }

    #[test]
    fn an_open_address_needs_a_decision() {
        let refusal = listening(&["0.0.0.0:8000"]).over(File::default()).unwrap_err().to_string();
        assert!(refusal.contains("--insecure-http"), "{refusal}");
        let settings = Settings { insecure_http: true, ..listening(&["0.0.0.0:8000"]) };
        assert!(settings.over(File::default()).is_ok());
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let with = |listen: &[&str], certificate: Option<&str>, key: Option<&str>| {
            let listen = listen.iter().map(ToString::to_string).collect();
            tls(listen, certificate.map(Into::into), key.map(Into::into)).map_err(|error| error.to_string())
        };
        assert_eq!(with(&[], None, None), Ok(None));
        assert!(with(&[], Some("c"), None).unwrap_err().starts_with("tls-key:"));
        assert!(with(&[], None, Some("k")).unwrap_err().starts_with("tls-certificate:"));
        assert!(with(&["0.0.0.0:443"], None, None).unwrap_err().starts_with("tls-certificate:"));
        assert!(with(&["443"], Some("c"), Some("k")).unwrap_err().starts_with("tls-listen:"));
        assert_eq!(with(&[], Some("c"), Some("k")).unwrap().unwrap().listen.len(), 2);
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let with = |text: &str| Settings { trusted_proxies: vec![text.into()], ..listening(&[]) };
        let read = |text: &str| with(text).over(File::default()).map(|config| config.trusted_proxies);
        assert_eq!(read("10.0.0.1").unwrap(), ["10.0.0.1/32".parse().unwrap()]);
        assert_eq!(read(" fd00::/8").unwrap(), ["fd00::/8".parse().unwrap()]);
        let refusal = read("proxy.example.org").unwrap_err().to_string();
        assert!(refusal.starts_with("trusted-proxies: `proxy.example.org`"), "{refusal}");
    }

    #[test]
    fn loopback_on_both_families_is_the_default() {
        let config = listening(&[]).over(File::default()).unwrap();
        let texts: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["127.0.0.1:8000", "[::1]:8000"]);
        assert_eq!(config.public_url(8000), "http://localhost:8000");
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = File::parse("listen = ['127.0.0.1:9000']\ngateway_threads = 3", "slipway.toml").unwrap();
        let config = listening(&["127.0.0.1:7000"]).over(file).unwrap();
        assert_eq!((config.listen[0].port(), config.gateway_threads), (7000, 3));
    }

    #[test]
    fn connections_are_limited_within_reason() {
        let read = |text: &str| listening(&[]).over(File::parse(text, "slipway.toml").unwrap());
        assert_eq!(read("").unwrap().gateway_connections, None);
        assert_eq!(read("gateway_connections = 500").unwrap().gateway_connections, Some(500));
        let refusal = read("gateway_connections = 3").unwrap_err().to_string();
        assert_eq!(refusal, "gateway-connections: 3 is not within 16 to 1000000");
    }

    #[test]
    fn a_misspelt_setting_in_the_file_is_named() {
        let refusal = File::parse("lisen = []", "slipway.toml").unwrap_err().to_string();
        assert!(refusal.contains("lisen") && refusal.contains("slipway.toml"), "{refusal}");
    }

    #[test]
    fn a_public_url_is_scheme_and_host() {
        assert_eq!(check_public_url("https://m.example.org/").unwrap(), "https://m.example.org");
        assert!(check_public_url("m.example.org").is_err());
        assert!(check_public_url("https://m.example.org/x").is_err());
    }
}

//! The only crate that knows SQL: one text for SQLite and Postgres (see `README.md` for the portable subset).
//!
//! Rows hold a domain type as a JSON document beside the columns that are searched by. Whatever changes is written only
//! over the version that was read.

mod activity;
mod deployments;
mod environments;
mod error;
mod events;
mod file;
mod history;
mod keys;
mod known;
mod metrics;
mod models;
mod overview;
mod own_database;
mod part;
mod people;
mod place;
mod pool;
mod promotions;
mod restrictions;
mod secrets;
mod settings;
#[cfg(feature = "test-util")]
pub mod testing;
mod uploads;
mod usage;
mod vault;

pub use activity::ActivityFilter;
pub use error::Error;
pub use events::EventFilter;
pub use keys::{Holder, KeyRow, SessionRow};
pub use metrics::{MetricRow, MetricsOf};
pub use models::ModelState;
pub use overview::{LastChanged, ModelList, ModelOverview};
pub use own_database::OwnDatabase;
pub use part::{ModelPart, Newest, Part};
pub use people::{Invitation, LinkFor, LinkRow};
pub use place::Place;
pub use pool::{Store, Tx, sqlite_file};
pub use secrets::SecretRow;
pub use uploads::UploadRow;
pub use usage::{UsageDelta, UsageRow};
pub use vault::Vault;

//! The use cases. Each asks who may, checks, writes one transaction with its event, wakes the model and returns; the
//! engine does the rest. Doors translate, and decide nothing.

mod activity;
mod backpressure;
mod changes;
mod controls;
mod deployments;
mod diff;
mod environments;
mod error;
mod key_limits;
mod keys;
mod logs;
mod metrics;
mod models;
mod parts;
mod password;
mod people;
mod promotions;
mod publish;
mod push;
mod replicas;
mod restrictions;
mod room;
mod scaling;
mod secrets;
mod sessions;
mod startups;
mod switch;
mod uploads;

pub use activity::{ActivityPage, ActivityQuery};
pub use changes::{ChangeSet, Received, Synced, WatchState};
pub use diff::{CopyDiff, DiffLine, FileChange, FileDiff, LineTag};
pub use error::Error;
pub use key_limits::KeyLimits;
pub use keys::{KeyKind, KeyRing, NewKey, hash_of};
pub use metrics::{LOOK_EVERY, MeasuredNow, MetricScope, MetricSeries};
pub use parts::{ControlPlane, Parts};
pub use people::{Joining, People};
pub use push::{Push, PushTarget, Pushed};
pub use restrictions::EnvironmentGroup;
pub use room::{Stored, StoredTotal};
pub use sessions::NewSession;
pub use startups::{Startup, StartupOrder, StartupOutcome, StartupPage, StartupPhase, StartupQuery};
pub use uploads::Upload;

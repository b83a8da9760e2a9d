//! What each page shows, as it travels from the server to the browser.
//!
//! Views are made for reading: sentences are computed on the server, times are absolute, and every
//! page carries the moment it was true (`as_of`) so that the browser can count on from there.

mod access;
mod activity;
mod deployment;
mod environment;
mod live;
mod logs;
mod metrics;
mod model;
mod people;
mod reference;
mod scaling;
mod session;
mod usage;

pub use access::{AccessPerson, AccessView};
pub use activity::{ActivityFilter, ActivityModel, ActivityPage, ActivityRow, Person, SettingChange};
pub use deployment::{CallSnippet, DeploymentPage, ReplicaRow, ReplicasNow, TryAnswer};
pub use environment::{
    Counted, Decision, EnvironmentActions, EnvironmentPage, Rollout, RolloutControls, Rung, RungState,
    SampleRun, Side,
};
pub use live::{ChangedFile, ChangedLine, LivePage, SinceCopy};
pub use logs::{LogCursor, LogFilter, LogPage, LogPiece, LogRow, LogScope};
pub use metrics::{MetricMark, MetricPoint, MetricsPage, PERIODS};
pub use model::{
    Actions, DeploymentRef, DeploymentRow, DevelopmentBand, EnvironmentCard, Making, ModelPage, ModelRow,
    ModelsPage, Permit, PromoteChoices, PromoteTarget, PromotionBrief, Replicas, Served,
};
pub use people::{
    InvitationRow, KeyChoice, KeyRow, KeysPage, LinkPurpose, ModelChoice, PeoplePage, PersonRow, SecretRow,
    SecretsPage, ShownOnce,
};
pub use reference::{
    ReferenceField, ReferenceGroup, ReferenceKind, ReferencePage, ReferenceRoute, ReferenceShape,
};
pub use scaling::{ColdStartRow, CountsAt, ScalingDecision, ScalingPage, StartPhase};
pub use session::{Command, Done, FirstRun, SessionInfo, SignIn};
pub use usage::{UsageDay, UsagePage, UsageRow};

//! What each page shows, as it travels from the server to the browser.
//!
//! Views are made for reading: sentences are computed on the server, times are absolute, and every
//! page carries the moment it was true (`as_of`) so that the browser can count on from there.

mod deployment;
mod environment;
mod model;
mod session;
mod usage;

pub use deployment::{CallSnippet, DeploymentPage, LogCursor, LogPage, LogRow, ReplicaRow, TryAnswer};
pub use environment::{Counted, Decision, EnvironmentPage, Rollout, Rung, RungState, Side};
pub use model::{
    Actions, DeploymentRef, DeploymentRow, DevelopmentBand, EnvironmentCard, ModelPage, ModelRow, ModelsPage,
    Permit, PromoteChoices, PromoteTarget, PromotionBrief, Replicas, Served,
};
pub use session::{Command, Done, FirstRun, SessionInfo, SignIn};
pub use usage::{UsagePage, UsageRow};

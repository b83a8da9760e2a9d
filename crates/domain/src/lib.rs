//! Types and decisions of Slipway. Nothing here reads, writes, waits or asks the time.
//!
//! The product's rules are told in `docs/semantics.md`; docstrings cite its sections.

mod access;
mod activity;
mod amount;
mod analysis;
mod attachment;
mod autoscaling;
mod backpressure;
mod check_decision;
mod controls;
mod deployment;
mod environment;
mod environment_log;
mod error;
mod event;
mod histogram;
mod history;
mod host;
mod id;
mod invariant;
mod live;
mod log;
mod log_merge;
mod log_places;
mod log_search;
mod metrics;
mod model;
mod name;
mod person;
mod phase_times;
mod place;
mod plan;
mod preview;
mod promotion;
mod replica;
mod resize;
mod restriction;
mod rolling;
mod rollout;
mod routing;
mod runtime;
mod scale_change;
mod secret;
mod status;
mod throttle;
mod time;
mod traffic;
mod usage;
mod whole_number;

pub use access::{Action, Actor, Door, Role};
pub use activity::EventGroup;
pub use amount::{GIB, MIB, cores_text, memory_text};
pub use analysis::{ENOUGH, Evidence, Judgement, SideCounts, chance_of, judge};
pub use attachment::{Attachment, attachments, served_first};
pub use autoscaling::{
    AutoscalingPatch, AutoscalingSettings, Limit, ScaleDecision, Scaler, decide, replicas_for,
};
pub use backpressure::Backpressure;
pub use check_decision::check_decision;
pub use controls::{Asked, Signal, ask};
pub use deployment::{
    Build, Deployment, DeploymentKind, Lifecycle, may_deactivate, may_delete, may_publish, may_rename,
};
pub use environment::{
    CleanupStrategy, Environment, EnvironmentPatch, PromotionPatch, PromotionSettings, may_delete_environment,
};
pub use environment_log::{
    EnvironmentLogFound, EnvironmentLogNews, attached_within, in_reading_order, served_first_until,
};
pub use error::Invalid;
pub use event::{Change, ChangeKind, Event, EventKind};
pub use histogram::{Histogram, SIZES, middle_of, size_of};
pub use history::{ColdStart, DecisionRow, ReplicaCount, ScalingHistory, StartMoments, StartOutcome};
pub use host::{Ask, Compute, Host, InstanceType, LOCAL, Price, Reserved};
pub use id::{
    ArtifactId, DeploymentId, EventId, InvitationId, ModelId, PersonId, PromotionId, ReplicaId, SecretId,
    parse_id, token,
};
pub use invariant::{Violation, check as check_invariant};
pub use live::{
    FORMER_CHANGES, FailedChange, LiveReload, PatchPoint, Revision, Staged, SyncState, may_patch,
};
pub use log::{LogFound, LogLevel, LogLine, LogNews, LogQuery, LogSource};
pub use log_merge::LogMerge;
pub use log_places::LogPlaces;
pub use metrics::{Answers, Counted, Counters, KEPT, KEPT_FINE, Measured, Outcome, Outcomes, Period};
pub use model::Model;
pub use name::{DeploymentName, EnvironmentName, ModelName, PRODUCTION, SecretName, check_key_name};
pub use person::{
    Email, PASSWORD_LEAST, PASSWORD_MOST, Person, check_password, may_change, person_name, person_role,
};
pub use phase_times::{PhaseTimes, START_PHASES, phase_times};
pub use place::{Holding, PlaceRequest, Placement, Refusal, could_hold, free, place};
pub use plan::{
    Memory, Moment, Peak, Plan, PlannedEvent, Reload, SAMPLE_EVERY, Snapshot, Start, Stop, Tell, plan,
    routes_as_stored,
};
pub use preview::{Preview, preview};
pub use promotion::{Begun, Phase, Promotion, PromotionRequest, Source, begin};
pub use replica::{ObservedReplica, ReplicaState, Seen};
pub use restriction::{Access, Restriction};
pub use rolling::{
    RollingConfig, RollingPatch, RollingStep, Sides, next_rolling_step, share_kept, share_of_ready, sides_of,
    targets, targets_back,
};
pub use rollout::{Hold, Position, STAGES, Step, Strategy, next_step, stage_at};
pub use routing::{
    AppliedRoutes, Availability, DeploymentRoute, EnvironmentRoute, Exemption, ModelRoutes, ReplicaAddress,
    Rewrite, Share, Weight,
};
pub use runtime::{
    BuildFailure, BuildSpec, Endpoints, EnvironmentUse, ExternalUse, ReplicaSample, ReplicaSpec, ReplicaUse,
    Runtime, RuntimeError, StopReason, StorageUse,
};
pub use scale_change::{Decided, ScaleCause, ScaleChange};
pub use secret::{SecretValue, declared_secrets};
pub use status::{DeploymentStatus, Standing, standing};
pub use throttle::{Failures, Meter, Rate};
pub use time::{Clock, ManualClock, Timestamp};
pub use traffic::{Demand, DeploymentTraffic, FirstAnswer, PREDICT_TIMEOUT, Traffic, Wake};
pub use usage::{UpTime, is_metered, started_minutes};
pub use whole_number::{DEPLOY_TIMEOUT, WholeNumber};

//! The words that fields choose from, for the API's description.

use std::borrow::Cow;

use utoipa::openapi::{Object, ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

fn choice(description: &str, words: &[&'static str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description.trim()))
        .enum_values(Some(words.iter().copied()))
        .build()
}

macro_rules! words {
    ($(#[doc = $doc:literal] $name:ident = $words:expr;)+) => {$(
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                choice($doc, &$words).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}

words! {
    /// What a deployment does now.
    DeploymentStatus = [
        "BUILDING",
        "DEPLOYING",
        "DEPLOY_FAILED",
        "LOADING_MODEL",
        "ACTIVE",
        "UNHEALTHY",
        "BUILD_FAILED",
        "BUILD_STOPPED",
        "DEACTIVATING",
        "INACTIVE",
        "FAILED",
        "UPDATING",
        "SCALED_TO_ZERO",
        "WAKING_UP",
    ];
    /// How a file has the lines of a log.
    LogFormat = ["text", "csv", "json", "jsonl"];
    /// What writes a log: the build, Slipway itself, or the model's replicas.
    LogComponent = ["build", "platform", "replica"];
    /// How a promotion stands.
    PromotionStatus = [
        "RELEASING",
        "RAMPING_UP",
        "RAMPING_DOWN",
        "PAUSED",
        "SUCCEEDED",
        "FAILED",
        "CANCELED",
    ];
    /// What becomes of the previous deployment when a promotion succeeds.
    PromotionCleanupStrategy = ["KEEP", "SCALE_TO_ZERO", "DEACTIVATE"];
    /// How replicas are replaced.
    RollingDeployStrategy = ["REPLICA"];
    /// What happens to requests while all replicas are busy. Without a policy they wait.
    RequestBackpressurePolicy = ["QUEUE_ON_FULL", "REJECT_ON_FULL"];
    /// Whether a change of settings changed anything.
    UpdateStatus = ["ACCEPTED", "UNCHANGED"];
    /// Where traffic is after a cancel: back, or on its way back.
    CancelStatus = ["CANCELED", "RAMPING_DOWN"];
    /// How grave a line of a log is.
    Level = ["DEBUG", "INFO", "WARNING", "ERROR"];
    /// The order of lines or rows by time.
    Order = ["asc", "desc"];
    /// The order of rows by time.
    AuditLogOrder = ["DESC", "ASC"];
    /// What a key may do.
    KeyRole = ["invoker", "exporter", "keykeeper", "viewer", "deployer", "admin"];
    /// What a person may do.
    PersonRole = ["viewer", "deployer", "admin"];
    /// What a key is for.
    APIKeyType = [
        "PERSONAL",
        "ROUTES",
        "WORKSPACE_MANAGE_ALL",
        "WORKSPACE_EXPORT_METRICS",
        "WORKSPACE_INVOKE",
        "WORKSPACE_MANAGE_API_KEYS",
    ];
    /// Who made a change.
    ActorType = ["USER", "API_KEY", "BASETEN_USER", "BASETEN_SYSTEM", "TOMBSTONE_USER"];
    /// What a change is about. Some never happen here, and asking for them finds nothing.
    EventTypeGroup = [
        "DEPLOYED",
        "PROMOTED",
        "ACTIVATED_DEACTIVATED",
        "AUTOSCALING_SETTINGS",
        "REQUEST_BACKPRESSURE_SETTINGS",
        "INSTANCE_TYPE_CHANGED",
        "ENVIRONMENT_SETTINGS",
        "REPLICA_TERMINATED",
        "DELETED",
        "METADATA",
        "SECRETS",
        "API_KEYS",
        "GATEWAY",
        "CODE",
        "WEBHOOK_SIGNING_SECRETS",
        "USER_MANAGEMENT",
        "DIRECTORY_GROUP_MANAGEMENT",
        "SSH",
    ];
    /// By which door a change came.
    Source = ["UI", "API", "MCP", "SYSTEM", "OTHER"];
    /// Whether numbers are of now, of a whole period, or a series.
    MetricsMode = ["CURRENT", "SUMMARY", "SERIES"];
    /// What came of a start.
    StartupOutcome = ["SUCCESS", "FAILED", "STALLED"];
    /// A part of a start.
    StartupPhaseName =
        ["SCHEDULING", "IMAGE_PULL", "WEIGHT_DOWNLOAD", "CONTAINER_CREATE", "CONTAINER_START", "READINESS"];
    /// What came of a part of a start.
    StartupPhaseStatus = ["COMPLETED", "FAILED"];
    /// What starts are sorted by.
    StartupSort = ["OUTCOME", "STARTED_AT", "READY_AT", "DURATION"];
    /// In what a metric is counted.
    MetricUnit = ["PER_SECOND", "SECONDS", "BYTES", "MEBIBYTES", "COUNT", "RATIO", "CELSIUS", "WATTS"];
    /// Of what kind a metric is.
    MetricKind = ["GAUGE", "COUNTER", "HISTOGRAM"];
    /// Which forms of a configuration are wanted.
    ConfigFormat = ["raw", "parsed", "both"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    /// Every word means something to the domain, and there are as many as it has.
    fn known<T: DeserializeOwned + serde::Serialize>(schema: RefOr<Schema>, count: usize) {
        let schema = json!(schema);
        let words = schema["enum"].as_array().unwrap();
        assert_eq!(words.len(), count, "{words:?}");
        for word in words {
            let read: T = serde_json::from_value(word.clone()).unwrap();
            assert_eq!(json!(read), *word);
        }
    }

    #[test]
    fn the_words_are_those_of_the_domain() {
        known::<domain::DeploymentStatus>(DeploymentStatus::schema(), 14);
        known::<domain::Phase>(PromotionStatus::schema(), 7);
        known::<domain::CleanupStrategy>(PromotionCleanupStrategy::schema(), 3);
        known::<domain::LogLevel>(Level::schema(), 4);
        known::<domain::LogSource>(LogComponent::schema(), domain::LogSource::ALL.len());
        known::<domain::Role>(KeyRole::schema(), 6);
    }
}

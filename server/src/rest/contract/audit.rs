//! The activity as its clients know it: an audit log with the particulars of each kind of event.

use domain::{Actor, Door, Event, EventKind};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::words;

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLog {
    pub items: Vec<AuditLogEntry>,
    pub pagination: Pagination,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Pagination {
    pub has_more: bool,
    #[schema(required)]
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogEntry {
    pub id: String,
    #[schema(format = DateTime)]
    pub created: String,
    /// What was done, as `MODEL_DEPLOYED` or `ENVIRONMENT_UPDATED`.
    #[schema(value_type = String)]
    pub event_type: EventKind,
    /// The particulars; which there are depends on `event_type`.
    #[schema(value_type = Object)]
    pub event_data: Map<String, Value>,
    #[schema(value_type = words::Source)]
    pub source: Door,
    pub actor: AuditLogActor,
    /// Always null.
    #[schema(required, value_type = Option<String>)]
    pub client_name: Option<()>,
    /// Always null.
    #[schema(required, value_type = Option<String>)]
    pub client_version: Option<()>,
    /// Always null.
    #[schema(required, value_type = Option<String>)]
    pub client_session_id: Option<()>,
    /// Ours: what happened, for people.
    pub sentence: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLogActor {
    #[serde(rename = "type")]
    #[schema(value_type = words::ActorType)]
    pub kind: &'static str,
    /// Of a person; null for a key of nobody's.
    #[schema(required)]
    pub email: Option<String>,
    #[schema(required)]
    pub api_key_prefix: Option<String>,
    #[schema(required)]
    pub api_key_name: Option<String>,
    /// Ours: also of who has no key.
    pub name: String,
}

impl From<Event> for AuditLogEntry {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.to_string(),
            created: event.at.rfc3339(),
            event_type: event.kind,
            event_data: data(&event),
            source: event.actor.door,
            sentence: event.sentence,
            actor: event.actor.into(),
            client_name: None,
            client_version: None,
            client_session_id: None,
        }
    }
}

impl AuditLogEntry {
    /// The same of a person who is not here any more. What was done with a key stays the key's.
    pub fn of_somebody_gone(mut self) -> Self {
        if self.actor.api_key_prefix.is_none() {
            self.actor.kind = "TOMBSTONE_USER";
        }
        self
    }
}

impl From<Actor> for AuditLogActor {
    fn from(actor: Actor) -> Self {
        let kind = match (&actor.key_prefix, actor.door) {
            (Some(_), _) => "API_KEY",
            (None, Door::System) => "BASETEN_SYSTEM",
            (None, _) => "USER",
        };
        Self {
            kind,
            email: actor.email.as_ref().map(ToString::to_string),
            api_key_name: actor.key_prefix.is_some().then(|| actor.name.clone()),
            api_key_prefix: actor.key_prefix,
            name: actor.name,
        }
    }
}

/// The particulars, with the fields that clients expect of each kind; kinds of ours have what was recorded.
fn data(event: &Event) -> Map<String, Value> {
    use EventKind as K;
    let was = &event.data;
    let mut fields = Map::new();
    fields.insert("event_type".into(), json!(event.kind));
    if let Some(model) = &event.model {
        fields.insert("model_id".into(), json!(model));
        fields.insert("model_name".into(), json!(event.model_name.as_deref().unwrap_or(model.as_str())));
    }
    if let Some(deployment) = &event.deployment {
        let name = event.deployment_name.as_deref().unwrap_or(deployment.as_str());
        fields.insert("deployment_id".into(), json!(deployment));
        fields.insert("deployment_name".into(), json!(name));
    }
    if let Some(environment) = &event.environment {
        fields.insert("environment_name".into(), json!(environment));
    }
    let more = match event.kind {
        K::ModelDeployed => json!({
            "scale_previous_to_zero": was["scale_previous_to_zero"].as_bool().unwrap_or(false),
            "trusted": true,
            "publish": was["publish"].as_bool().unwrap_or(true),
            "environment_name": event.environment,
        }),
        K::ModelDeploymentPromoted => json!({
            "environment_name": event.environment,
            "environment_id": null,
            "region_update": null,
            "instance_type_id_update": null,
            "promotion_settings_override": said(&was["settings_override"]),
            "autoscaling_settings_update": said(&was["settings_update"]["autoscaling"]),
            "request_backpressure_settings_update":
                was["settings_update"].get("backpressure").map(|policy| json!({ "policy": policy })),
            // Ours: what else changes of the environment when the promotion succeeds.
            "promotion_settings_update": said(&was["settings_update"]["promotion"]),
            "autoscaling_schedule_settings_update": null,
        }),
        K::ModelDeploymentRetried => json!({ "retried": true }),
        K::ModelRenamed | K::ModelDeploymentRenamed => json!({ "previous_name": was["previous_name"] }),
        K::ModelPromotionControlAction => json!({ "environment_id": null, "action": was["action"] }),
        K::ModelDeploymentRequestBackpressureSettingsChanged => {
            json!({ "policy": was["policy"], "previous_policy": was["previous_policy"] })
        }
        K::ReplicaTerminated => json!({ "replica_id": was["replica"] }),
        K::ModelDeploymentAutoscalingSettingsChanged => {
            fields.extend(scaling(&was["settings"]));
            let previous = &was["previous_settings"];
            json!({
                "schedules": [],
                "deployment_type": null,
                "previous_settings": previous.is_object().then(|| scaling(previous)),
            })
        }
        K::EnvironmentCreated => {
            fields.extend(settings(was));
            json!({ "deployment_type": null })
        }
        K::EnvironmentUpdated => {
            fields.extend(settings(was));
            let previous = &was["previous_settings"];
            json!({
                "schedules": [],
                "deployment_type": null,
                "previous_settings": previous.is_object().then(|| settings(previous)),
            })
        }
        K::ApiKeyCreated | K::ApiKeyDeleted => json!({
            "api_key_id": was["prefix"],
            "api_key_type": key_type(was),
            "prefix": was["prefix"],
            "name": was["name"],
        }),
        K::SecretUpdated | K::SecretDeleted => json!({
            "secret_id": was["secret_id"],
            "secret_name": was["secret_name"],
        }),
        K::UserInvited | K::UserJoinedOrganization | K::UserRoleUpdated | K::UserRemoved => {
            person(event.kind, was)
        }
        K::ModelDeploymentActivated
        | K::ModelDeploymentDeactivated
        | K::ModelDeploymentDeleted
        | K::ModelDeleted
        | K::EnvironmentDeleted => json!({}),
        _ => was.clone(),
    };
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    fields
}

/// How somebody came, what they may from then on, and how they went.
fn person(kind: EventKind, was: &Value) -> Value {
    match kind {
        EventKind::UserInvited => json!({
            "invited_user_email": was["email"],
            "role_name": was["role"],
            // Ours: which invitation it was.
            "invitation_id": was["invitation_id"],
        }),
        EventKind::UserJoinedOrganization => json!({
            "new_user_email": was["email"],
            "user_id": was["user_id"],
            // Ours: what they may.
            "role_name": was["role"],
        }),
        EventKind::UserRoleUpdated => json!({
            "user_id": was["user_id"],
            "user_email": was["email"],
            "new_role_name": was["role"],
            // Ours: what they might before.
            "previous_role_name": was["previous_role"],
        }),
        _ => json!({
            "removed_user_email": was["email"],
            // Ours: who that was, and the environments whose lists they were on.
            "user_id": was["user_id"],
            "restricted_environments": was["restricted_environments"],
        }),
    }
}

/// What a key may do, in the words of its clients.
fn key_type(was: &Value) -> &'static str {
    match (was["role"].as_str(), was["models"].is_array()) {
        (Some("invoker"), true) => "INVOKE_ALLOWED_MODELS_SERVICE_ACCOUNT",
        (Some("invoker"), false) => "INVOKE_ALL_MODELS_SERVICE_ACCOUNT",
        (Some("exporter"), true) => "EXPORT_METRICS_ALLOWED_MODELS_SERVICE_ACCOUNT",
        (Some("exporter"), false) => "EXPORT_METRICS_ALL_MODELS_SERVICE_ACCOUNT",
        (Some("keykeeper"), _) => "MANAGE_API_KEYS_SERVICE_ACCOUNT",
        _ if was["user_id"].is_string() => "PERSONAL",
        _ => "CREATOR_SERVICE_ACCOUNT",
    }
}

/// The fields of a partial update that were said, in objects within it too; null if none was.
fn said(update: &Value) -> Value {
    let Value::Object(fields) = update else { return update.clone() };
    let told = fields.iter().map(|(name, value)| (name.clone(), said(value)));
    let told: Map<String, Value> = told.filter(|(_, value)| !value.is_null()).collect();
    if told.is_empty() { Value::Null } else { Value::Object(told) }
}

/// Some fields of an object, those it has not as null.
fn picked(from: &Value, names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), from[*name].clone())).collect()
}

fn scaling(settings: &Value) -> Map<String, Value> {
    picked(
        settings,
        &[
            "min_replica",
            "max_replica",
            "concurrency_target",
            "autoscaling_window",
            "scale_down_delay",
            "target_utilization_percentage",
            "target_in_flight_tokens",
            "max_scale_down_rate",
        ],
    )
}

/// An environment's settings: of scaling, and of promotion.
fn settings(of: &Value) -> Map<String, Value> {
    let mut fields = scaling(&of["autoscaling"]);
    fields.extend(picked(
        &of["promotion"],
        &[
            "redeploy_on_promotion",
            "rolling_deploy",
            "promotion_cleanup_strategy",
            "ramp_up_while_promoting",
            "ramp_up_duration_seconds",
            "ramp_up_step_size",
            "stop_on_errors",
        ],
    ));
    fields.insert("request_backpressure_policy".into(), of["backpressure"].clone());
    fields.extend(picked(
        &of["promotion"]["rolling_deploy_config"],
        &[
            "rolling_deploy_strategy",
            "max_unavailable_percent",
            "max_surge_percent",
            "stabilization_time_seconds",
            "replica_overhead_percent",
        ],
    ));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{EnvironmentName, EventId, ModelId, Timestamp};

    fn event(kind: EventKind, data: Value) -> Event {
        Event {
            id: EventId::new("e"),
            at: Timestamp::from_millis(0),
            kind,
            model: Some(ModelId::new("m")),
            deployment: None,
            environment: Some(EnvironmentName::production()),
            model_name: Some("Iris".into()),
            deployment_name: None,
            actor: Actor::system(),
            sentence: "something happened".into(),
            data,
        }
    }

    #[test]
    fn an_environment_has_the_settings_it_got_and_those_it_had() {
        let before = domain::Environment::new(
            ModelId::new("m"),
            EnvironmentName::production(),
            Timestamp::from_millis(0),
        );
        let told = data(&event(
            EventKind::EnvironmentUpdated,
            json!({
                "autoscaling": { "min_replica": 2, "max_replica": 3 },
                "promotion": before.promotion,
                "previous_settings": { "autoscaling": before.autoscaling, "promotion": before.promotion },
            }),
        ));
        assert_eq!(
            (&told["event_type"], &told["model_name"]),
            (&json!("ENVIRONMENT_UPDATED"), &json!("Iris"))
        );
        assert_eq!((&told["min_replica"], &told["max_replica"]), (&json!(2), &json!(3)));
        let previous = &told["previous_settings"];
        assert_eq!(
            (&previous["min_replica"], &previous["ramp_up_duration_seconds"]),
            (&json!(0), &json!(600))
        );
        for nullable in ["target_in_flight_tokens", "ramp_up_step_size", "max_surge_percent"] {
            assert!(
                previous[nullable].is_null() && told[nullable].is_null(),
                "{nullable} is there, and empty"
            );
        }
    }

    #[test]
    fn a_promotion_tells_what_was_said_for_it_and_of_its_environment() {
        use domain::{
            AutoscalingPatch, Backpressure, EnvironmentPatch, PromotionPatch, PromotionRequest, RollingPatch,
        };
        let rolling = RollingPatch { max_surge_percent: Some(50), ..RollingPatch::default() };
        let request = PromotionRequest {
            settings_override: PromotionPatch {
                rolling_deploy_config: Some(rolling),
                ..PromotionPatch::default()
            },
            settings_update: Some(EnvironmentPatch {
                autoscaling: AutoscalingPatch { max_replica: Some(4), ..AutoscalingPatch::default() },
                backpressure: Some(Some(Backpressure::RejectOnFull)),
                ..EnvironmentPatch::default()
            }),
            ..PromotionRequest::default()
        };
        let recorded = |request: &PromotionRequest| {
            json!({
                "settings_override": request.settings_override,
                "settings_update": request.settings_update,
            })
        };
        let told = data(&event(EventKind::ModelDeploymentPromoted, recorded(&request)));
        assert_eq!(
            told["promotion_settings_override"],
            json!({ "rolling_deploy_config": { "max_surge_percent": 50 } })
        );
        assert_eq!(told["autoscaling_settings_update"], json!({ "max_replica": 4 }));
        assert_eq!(told["request_backpressure_settings_update"], json!({ "policy": "REJECT_ON_FULL" }));
        assert!(told["promotion_settings_update"].is_null());
        let plain = data(&event(EventKind::ModelDeploymentPromoted, recorded(&PromotionRequest::default())));
        for field in ["promotion_settings_override", "autoscaling_settings_update"] {
            assert!(plain.contains_key(field) && plain[field].is_null(), "{field}");
        }
        assert!(plain["request_backpressure_settings_update"].is_null());
    }

    #[test]
    fn kinds_of_ours_have_what_was_recorded() {
        let told = data(&event(EventKind::ModelPromotionSucceeded, json!({ "percent": 100 })));
        assert_eq!((&told["percent"], &told["environment_name"]), (&json!(100), &json!("production")));
        let told = data(&event(EventKind::ModelDeploymentRenamed, json!({ "previous_name": "old" })));
        assert_eq!(
            (&told["event_type"], &told["previous_name"]),
            (&json!("MODEL_DEPLOYMENT_RENAMED"), &json!("old"))
        );
    }
}

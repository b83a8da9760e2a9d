//! Pushes, and changes to a development deployment.

use async_graphql::{Context, Object, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::{ChangeSet, Push, PushTarget, Received, Synced};
use domain::{ModelId, parse_id};

use super::query::{door, id, version};
use super::refused;
use super::types::{JsonText, ModelOrigin, PatchPayload, VersionPayload};
use crate::live::{GRAPHQL_WAITS, Patch};

pub struct Mutation;

/// What all three pushes have in common.
struct Arguments {
    target: PushTarget,
    s3_key: String,
    config: String,
    deployment_name: Option<String>,
    environment: Option<String>,
    scale_down_previous: bool,
    preserve_instance_type: bool,
    allow_download: bool,
    deploy_timeout_minutes: Option<i64>,
    labels: Option<JsonText>,
    raw_config: Option<String>,
}

async fn push(context: &Context<'_>, arguments: Arguments) -> Result<VersionPayload> {
    let (api, actor) = door(context)?;
    let push = Push {
        target: arguments.target,
        upload_key: arguments.s3_key,
        config: arguments.config,
        deployment_name: arguments.deployment_name,
        environment: arguments.environment,
        create_environment: false,
        autoscaling: Default::default(),
        backpressure: None,
        settings_override: Default::default(),
        scale_down_previous: arguments.scale_down_previous,
        preserve_instance_type: arguments.preserve_instance_type,
        allow_download: arguments.allow_download,
        deploy_timeout_minutes: arguments.deploy_timeout_minutes,
        labels: arguments.labels.map(|labels| labels.0),
        raw_config: arguments.raw_config,
    };
    let pushed = api.control.push(actor, push).await.map_err(|error| refused(&error))?;
    let named = std::slice::from_ref(&pushed.deployment);
    let picture = api.picture(actor, &pushed.model, named).await.map_err(|error| refused(&error))?;
    let found = picture.deployment(&pushed.deployment).ok_or("the deployment was deleted meanwhile")?;
    Ok(VersionPayload { model_version: version(api, &picture, found) })
}

fn no_chains(origin: Option<ModelOrigin>) -> Result<()> {
    match origin {
        Some(ModelOrigin::Chains) => {
            Err("model_origin: chains are not served; push each model by itself".into())
        }
        _ => Ok(()),
    }
}

#[Object(rename_fields = "snake_case", rename_args = "snake_case")]
impl Mutation {
    #[expect(clippy::too_many_arguments, reason = "the client's arguments")]
    async fn create_model_from_truss(
        &self,
        context: &Context<'_>,
        name: String,
        #[graphql(name = "s3_key")] s3_key: String,
        config: String,
        #[graphql(name = "semver_bump")] _semver_bump: Option<String>,
        #[graphql(name = "truss_user_env")] _truss_user_env: Option<String>,
        allow_truss_download: Option<bool>,
        version_name: Option<String>,
        model_origin: Option<ModelOrigin>,
        environment_name: Option<String>,
        deploy_timeout_minutes: Option<i64>,
        #[graphql(name = "team_id")] _team_id: Option<String>,
        user_deploy_metadata: Option<JsonText>,
        raw_config: Option<String>,
    ) -> Result<VersionPayload> {
        no_chains(model_origin)?;
        let arguments = Arguments {
            target: PushTarget::NewModel { name },
            s3_key,
            config,
            deployment_name: version_name,
            environment: environment_name,
            scale_down_previous: true,
            preserve_instance_type: true,
            allow_download: allow_truss_download.unwrap_or(true),
            deploy_timeout_minutes,
            labels: user_deploy_metadata,
            raw_config,
        };
        push(context, arguments).await
    }

    #[expect(clippy::too_many_arguments, reason = "the client's arguments")]
    async fn create_model_version_from_truss(
        &self,
        context: &Context<'_>,
        model_id: String,
        #[graphql(name = "s3_key")] s3_key: String,
        config: String,
        #[graphql(name = "semver_bump")] _semver_bump: Option<String>,
        #[graphql(name = "truss_user_env")] _truss_user_env: Option<String>,
        scale_down_old_production: Option<bool>,
        preserve_env_instance_type: Option<bool>,
        name: Option<String>,
        environment_name: Option<String>,
        deploy_timeout_minutes: Option<i64>,
        user_deploy_metadata: Option<JsonText>,
        raw_config: Option<String>,
    ) -> Result<VersionPayload> {
        let arguments = Arguments {
            target: PushTarget::Version { model: ModelId::new(parse_id("model_id", &model_id)?) },
            s3_key,
            config,
            deployment_name: name,
            environment: environment_name,
            scale_down_previous: scale_down_old_production.unwrap_or(true),
            preserve_instance_type: preserve_env_instance_type.unwrap_or(true),
            allow_download: true,
            deploy_timeout_minutes,
            labels: user_deploy_metadata,
            raw_config,
        };
        push(context, arguments).await
    }

    #[expect(clippy::too_many_arguments, reason = "the client's arguments")]
    async fn deploy_draft_truss(
        &self,
        context: &Context<'_>,
        name: String,
        #[graphql(name = "s3_key")] s3_key: String,
        config: String,
        #[graphql(name = "truss_user_env")] _truss_user_env: Option<String>,
        allow_truss_download: Option<bool>,
        model_origin: Option<ModelOrigin>,
        deploy_timeout_minutes: Option<i64>,
        #[graphql(name = "team_id")] _team_id: Option<String>,
        user_deploy_metadata: Option<JsonText>,
        raw_config: Option<String>,
    ) -> Result<VersionPayload> {
        no_chains(model_origin)?;
        let arguments = Arguments {
            target: PushTarget::Development { name },
            s3_key,
            config,
            deployment_name: None,
            environment: None,
            scale_down_previous: true,
            preserve_instance_type: true,
            allow_download: allow_truss_download.unwrap_or(true),
            deploy_timeout_minutes,
            labels: user_deploy_metadata,
            raw_config,
        };
        push(context, arguments).await
    }

    async fn stage_patch_for_draft_truss(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id")] model_id: String,
        #[graphql(name = "truss_user_env")] _truss_user_env: Option<String>,
        patch: String,
    ) -> Result<PatchPayload> {
        let (api, actor) = door(context)?;
        let model = ModelId::new(parse_id("id", &model_id)?);
        let change = change(&patch)?;
        let received =
            api.control.stage_change(actor, &model, change).await.map_err(|error| refused(&error))?;
        match received {
            Received::Staged => payload(context, &model, None, false).await,
            Received::NeedsPush(reason) => payload(context, &model, Some(reason), true).await,
            Received::Wrong(reason) | Received::Refused(reason) => {
                payload(context, &model, Some(reason), false).await
            }
        }
    }

    async fn sync_draft_truss(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id")] model_id: String,
        #[graphql(name = "truss_user_env")] _truss_user_env: Option<String>,
    ) -> Result<PatchPayload> {
        let (api, actor) = door(context)?;
        let model = ModelId::new(parse_id("id", &model_id)?);
        let synced = api.control.sync_changes(actor, &model, GRAPHQL_WAITS).await;
        let error = match synced.map_err(|error| refused(&error))? {
            Synced::Runs => None,
            Synced::Failed(reason) => Some(reason),
            Synced::Starting => Some("the change still starts; its log says how far it is".into()),
        };
        payload(context, &model, error, false).await
    }
}

/// The change that the argument `patch` holds: base64 of JSON.
pub(super) fn change(patch: &str) -> Result<ChangeSet, String> {
    let bytes =
        STANDARD.decode(patch.trim()).map_err(|error| format!("patch: this is no base64: {error}"))?;
    let patch: Patch =
        serde_json::from_slice(&bytes).map_err(|error| format!("patch: this can't be read: {error}"))?;
    Ok(ChangeSet { base: patch.prev_hash.clone(), next: patch.next(), ops: patch.patch_ops })
}

/// What became of a change, as the client tells it to the person.
async fn payload(
    context: &Context<'_>,
    model: &ModelId,
    error: Option<String>,
    needs_full_deploy: bool,
) -> Result<PatchPayload> {
    let (api, actor) = door(context)?;
    let picture = api.picture(actor, model, &[]).await.map_err(|error| refused(&error))?;
    let draft = picture.deployments.iter().find(|deployment| deployment.is_development());
    Ok(PatchPayload {
        id: Some(id(model.as_str())),
        name: Some(picture.model.name.to_string()),
        version_id: draft.map(|deployment| id(deployment.id.as_str())),
        succeeded: error.is_none(),
        needs_full_deploy: Some(needs_full_deploy),
        error,
    })
}

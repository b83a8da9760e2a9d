//! Questions.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use domain::{Actor, Deployment, ModelId, parse_id};

use super::refused;
use super::types::{
    Chain, DeploymentStatus, InstanceTypeRef, ListedInstance, Oracle, OracleRef, OracleVersion, Organization,
    PatchPoint, Team, TrussValidation, TrussWatchState, UploadCredentials, User,
};
use crate::api::Api;
use crate::picture::Picture;
use crate::rest::contract::TEAM;

pub struct Query;

/// The application and who asks.
pub fn door<'a>(context: &Context<'a>) -> Result<(&'a Arc<Api>, &'a Actor)> {
    Ok((context.data::<Arc<Api>>()?, context.data::<Actor>()?))
}

/// What calls to a model begin with.
fn hostname(api: &Api, model: &ModelId) -> String {
    format!("{}/model/{model}", api.public_url)
}

/// A deployment as the client's versions.
pub fn version(api: &Api, picture: &Picture, deployment: &Deployment) -> OracleVersion {
    let is_primary =
        picture.production().is_some_and(|production| production.current.as_ref() == Some(&deployment.id));
    OracleVersion {
        id: deployment.id.as_str().into(),
        semver: None,
        truss_hash: deployment.truss_hash.clone(),
        truss_signature: deployment.truss_signature.clone(),
        is_draft: deployment.is_development(),
        is_primary,
        current_model_deployment_status: Some(DeploymentStatus {
            status: picture.standing(deployment).status.internal_name().to_owned(),
        }),
        oracle: OracleRef {
            id: picture.model.id.as_str().into(),
            name: picture.model.name.to_string(),
            hostname: hostname(api, &picture.model.id),
        },
        instance_type: InstanceTypeRef { name: api.host.type_name(&deployment.compute) },
    }
}

fn oracle(api: &Api, picture: &Picture) -> Oracle {
    let mut versions: Vec<OracleVersion> =
        picture.deployments.iter().map(|deployment| version(api, picture, deployment)).collect();
    versions.reverse();
    // Before anything is promoted the newest one stands in: the client takes no null here.
    let primary = versions.iter().find(|version| version.is_primary).or(versions.first()).cloned();
    Oracle {
        id: picture.model.id.as_str().into(),
        name: picture.model.name.to_string(),
        hostname: hostname(api, &picture.model.id),
        team: Team::only(),
        versions,
        primary_version: primary.map(Box::new),
    }
}

#[Object(rename_fields = "snake_case", rename_args = "snake_case")]
impl Query {
    async fn organization(&self) -> Organization {
        Organization {
            id: "slipway".into(),
            workspace_name: "Slipway".into(),
            aws_customer_access_role_arn: None,
            aws_external_id: None,
        }
    }

    async fn user(&self, context: &Context<'_>) -> Result<User> {
        let (_, actor) = door(context)?;
        let email = actor.email.as_ref().map(ToString::to_string);
        Ok(User { email: email.unwrap_or_else(|| actor.name.clone()) })
    }

    async fn teams(&self) -> Vec<Team> {
        vec![Team::only()]
    }

    async fn models(
        &self,
        context: &Context<'_>,
        #[graphql(name = "all")] _all: Option<bool>,
        team_id: Option<String>,
        chainlets_only: Option<bool>,
    ) -> Result<Vec<Oracle>> {
        let (api, actor) = door(context)?;
        if chainlets_only == Some(true) || team_id.is_some_and(|team| team != TEAM) {
            return Ok(Vec::new());
        }
        let pictures = api.pictures(actor).await.map_err(|error| refused(&error))?;
        Ok(pictures.iter().map(|picture| oracle(api, picture)).collect())
    }

    async fn model(&self, context: &Context<'_>, id: Option<String>, name: Option<String>) -> Result<Oracle> {
        let (api, actor) = door(context)?;
        let picture = match (id, name) {
            (Some(id), _) => {
                let id = ModelId::new(parse_id("id", &id)?);
                api.whole(actor, &id).await.map_err(|error| refused(&error))?
            }
            (None, Some(name)) => api.picture_by_name(actor, &name).await.map_err(|error| refused(&error))?,
            (None, None) => return Err("model: give an id or a name".into()),
        };
        Ok(oracle(api, &picture))
    }

    async fn model_version(&self, context: &Context<'_>, id: String) -> Result<OracleVersion> {
        let (api, actor) = door(context)?;
        let (picture, id) = api.picture_by_deployment(actor, &id).await.map_err(|error| refused(&error))?;
        let found = picture.deployment(&id).ok_or("the deployment was deleted meanwhile")?;
        Ok(version(api, &picture, found))
    }

    async fn truss_watch_state(&self, context: &Context<'_>, id: String) -> Result<TrussWatchState> {
        let (api, actor) = door(context)?;
        let id = ModelId::new(parse_id("id", &id)?);
        let state = api.control.watch_state(actor, &id).await.map_err(|error| refused(&error))?;
        let staged = state.as_ref().and_then(|state| state.staged.clone());
        Ok(TrussWatchState {
            is_container_built_from_push: state.as_ref().is_none_or(|state| state.runs_as_pushed),
            // The client takes either both or none: before the first change it compares with the push.
            container_patch_state: staged.as_ref().and(state).map(|state| state.running.into()),
            django_patch_state: staged.map(PatchPoint::from),
        })
    }

    async fn truss_validation(
        &self,
        context: &Context<'_>,
        #[graphql(name = "truss_user_env")] _truss_user_env: Option<String>,
        config: String,
    ) -> Result<TrussValidation> {
        let (api, actor) = door(context)?;
        let verdict = api.control.validate(actor, &config).await.map_err(|error| refused(&error))?;
        let details = serde_json::json!({ "errors": verdict.errors, "warnings": verdict.warnings });
        Ok(TrussValidation { success: verdict.errors.is_empty(), details: Some(details.to_string()) })
    }

    #[graphql(name = "model_s3_upload_credentials")]
    async fn upload_credentials(&self, context: &Context<'_>) -> Result<UploadCredentials> {
        let (api, actor) = door(context)?;
        let upload = api.control.begin_upload(actor).await.map_err(|error| refused(&error))?;
        Ok(UploadCredentials {
            s3_bucket: crate::uploads::BUCKET.into(),
            s3_key: upload.key,
            aws_access_key_id: upload.access_key,
            aws_secret_access_key: upload.secret,
            aws_session_token: upload.session_token,
        })
    }

    /// Chains are not served, so there are none.
    async fn chains(
        &self,
        #[graphql(name = "all")] _all: Option<bool>,
        #[graphql(name = "team_id")] _team_id: Option<String>,
    ) -> Vec<Chain> {
        Vec::new()
    }

    async fn listed_instances(&self, context: &Context<'_>) -> Result<Vec<ListedInstance>> {
        let (api, _) = door(context)?;
        Ok(ListedInstance::all(&api.host))
    }
}

/// An id for answers.
pub fn id(text: &str) -> ID {
    text.into()
}

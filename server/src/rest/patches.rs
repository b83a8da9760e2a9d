//! Changes of a development deployment in place.

use super::body::FilesJson;
use super::*;
use control::{ChangeSet, Received, Synced};
use domain::Invalid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::live::{Point, REST_WAITS, pending};
use crate::picture::Picture;

pub fn routes() -> Vec<Route> {
    macro_rules! below {
        ($rest:literal) => {
            concat!("/models/{model_id}/deployments/{deployment_id}/patches", $rest)
        };
    }
    vec![
        Route::post(below!(""), stage, "Receive a change of the development deployment")
            .says("409 if it was made against another state than the newest one here: read the state again.")
            .body::<NewPatch>()
            .answers::<Staged>(),
        Route::get(below!("/state"), state, "Read what the development deployment runs").answers::<States>(),
        Route::post(below!("/sync"), sync, "Put the received changes into service")
            .says("503 if the new code still starts after some seconds: ask again.")
            .answers::<InSync>()
            .fails(503),
    ]
}

#[derive(Serialize, ToSchema)]
struct States {
    running_patch_point: Point,
    /// Received, and not in service yet.
    #[schema(required)]
    pending_patch_point: Option<Point>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPatch {
    /// The hash of the state that the change was made against.
    prev_patch_hash: String,
    pub(super) next_patch_point: Point,
    /// Changes of files, requirements, settings, environment variables or external data, each with its `type`.
    #[schema(value_type = Vec<Object>)]
    patch_ops: Vec<Value>,
}

#[derive(Serialize, ToSchema)]
struct Staged {
    patch_point: Point,
}

#[derive(Serialize, ToSchema)]
struct InSync {
    /// Always null: what needs a push is refused.
    #[schema(required)]
    needs_full_deploy_reason: Option<String>,
}

fn refused(message: &str) -> Response {
    answer::error(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message)
}

/// The model, if the path names its development deployment.
async fn draft(api: &Api, actor: &Actor, model: &str, deployment: &str) -> Result<Picture, Response> {
    let (picture, id) = deployments::find(api, actor, model, deployment).await?;
    match picture.deployment(&id).is_some_and(domain::Deployment::is_development) {
        true => Ok(picture),
        false => Err(refused("only the development deployment takes changes; push a new version instead")),
    }
}

pub async fn state(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let picture = draft(&api, &actor, &model, &deployment).await?;
    let state = api.control.watch_state(&actor, &picture.model.id).await.map_err(|error| failure(&error))?;
    let state =
        state.ok_or_else(|| refused("it was pushed by a version without live reload; push it again"))?;
    Ok(answer::ok(&States {
        pending_patch_point: pending(&state).map(Point::of),
        running_patch_point: Point::of(&state.running),
    }))
}

pub async fn stage(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    FilesJson(body): FilesJson<NewPatch>,
) -> Answer {
    let picture = draft(&api, &actor, &model, &deployment).await?;
    let next = body.next_patch_point.into_point();
    let change = ChangeSet { base: body.prev_patch_hash, next: next.clone(), ops: body.patch_ops };
    let received = api.control.stage_change(&actor, &picture.model.id, change).await;
    match received.map_err(|error| failure(&error))? {
        Received::Staged => Ok(answer::ok(&Staged { patch_point: Point::of(&next) })),
        Received::NeedsPush(reason) => Err(refused(&format!("{reason}; push it with `truss push --watch`"))),
        Received::Wrong(reason) => Err(error::invalid(&Invalid::new("patch_ops", reason))),
        Received::Refused(reason) => Err(answer::error(StatusCode::CONFLICT, "CONFLICT", &reason)),
    }
}

pub async fn sync(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let picture = draft(&api, &actor, &model, &deployment).await?;
    let synced = api.control.sync_changes(&actor, &picture.model.id, REST_WAITS).await;
    match synced.map_err(|error| failure(&error))? {
        Synced::Runs => Ok(answer::ok(&InSync { needs_full_deploy_reason: None })),
        Synced::Failed(reason) => Err(refused(&reason)),
        Synced::Starting => Err(answer::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "NOT_READY",
            "the change still starts; ask again",
        )),
    }
}

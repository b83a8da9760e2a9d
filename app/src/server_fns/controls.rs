//! What people ask of a running promotion.

use leptos::prelude::*;

use crate::error::AppError;
use crate::view::Done;

#[cfg(feature = "ssr")]
use {
    super::door::*,
    // By another name: the prelude has a signal, too.
    domain::{EnvironmentName, ModelId, Signal as Control, parse_id},
};

/// Sends all of an environment's traffic back to its current deployment, at once.
#[server(prefix = "/api/ui", endpoint = "cancel_promotion")]
pub async fn cancel_promotion(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(send(&model_id, environment, Control::Cancel).await)
}

/// Stops a promotion where it is: its split stays and no time counts, while both sides go on scaling.
#[server(prefix = "/api/ui", endpoint = "pause_promotion")]
pub async fn pause_promotion(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(send(&model_id, environment, Control::Pause).await)
}

/// Lets a paused promotion go on where it stopped.
#[server(prefix = "/api/ui", endpoint = "resume_promotion")]
pub async fn resume_promotion(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(send(&model_id, environment, Control::Resume).await)
}

/// Sends all of an environment's traffic to the candidate of its promotion, as fast as its ready replicas permit,
/// whatever stages are left.
#[server(prefix = "/api/ui", endpoint = "force_roll_forward_promotion")]
pub async fn force_roll_forward_promotion(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(send(&model_id, environment, Control::RollForward).await)
}

#[cfg(feature = "ssr")]
async fn send(model_id: &str, environment: String, signal: Control) -> Result<Done, AppError> {
    let door = door().await?;
    let model = ModelId::new(parse_id("model_id", model_id)?);
    let environment = EnvironmentName::new(environment)?;
    door.backend.signal_promotion(&door.session, &model, &environment, signal).await
}

//! A status as a shape and a word; never by colour alone.

use domain::{DeploymentStatus, Phase};
use leptos::prelude::*;

/// The status word as people read it.
pub fn status_word(status: DeploymentStatus) -> &'static str {
    use DeploymentStatus::*;
    match status {
        Building => "Building",
        Deploying => "Deploying",
        DeployFailed => "Deploy failed",
        LoadingModel => "Loading model",
        Active => "Active",
        Unhealthy => "Unhealthy",
        BuildFailed => "Build failed",
        BuildStopped => "Build stopped",
        Deactivating => "Deactivating",
        Inactive => "Inactive",
        Failed => "Failed",
        Updating => "Updating",
        ScaledToZero => "Scaled to zero",
        WakingUp => "Waking up",
    }
}

/// Which shape and colour: a dot, an arc, a triangle, a cross, a moon, a ring.
fn tone(status: DeploymentStatus) -> &'static str {
    use DeploymentStatus::*;
    match status {
        Active => "ok",
        Building | Deploying | LoadingModel | Updating | WakingUp | Deactivating => "busy",
        Unhealthy => "warn",
        DeployFailed | BuildFailed | Failed => "bad",
        ScaledToZero => "sleep",
        Inactive | BuildStopped => "off",
    }
}

/// A promotion's phase as people read it.
pub fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Releasing => "Getting ready",
        Phase::RampingUp => "Ramping up",
        Phase::RampingDown => "Going back",
        Phase::Paused => "Paused",
        Phase::Succeeded => "Succeeded",
        Phase::Failed => "Failed",
        Phase::Canceled => "Canceled",
    }
}

#[component]
pub fn StatusBadge(status: DeploymentStatus) -> impl IntoView {
    view! {
        <span class="status" data-tone=tone(status) data-status=status.as_str()>
            {status_word(status)}
        </span>
    }
}

//! One file for each page.

mod activity;
mod deployment;
mod environment;
mod logs;
mod metrics;
mod model;
mod models;
mod not_found;
mod reference;
mod settings;
mod sign_in;
mod usage;

pub use activity::ActivityPage;
pub use deployment::{DeploymentDialogs, DeploymentPage};
pub use environment::EnvironmentPage;
pub use logs::LogsPage;
pub use metrics::MetricsPage;
pub use model::ModelPage;
pub use models::ModelsPage;
pub use not_found::NotFound;
pub use reference::ReferencePage;
pub use settings::SettingsPage;
pub use sign_in::SignInPage;
pub use usage::UsagePage;

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

/// A part of the path by its name; empty if the route has none.
fn use_param(name: &'static str) -> Memo<String> {
    let params = use_params_map();
    Memo::new(move |_| params.with(|params| params.get(name)).unwrap_or_default())
}

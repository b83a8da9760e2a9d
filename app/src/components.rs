//! The parts that pages are made of.

mod access_form;
mod action_menu;
mod cold_starts;
mod copies;
mod copy;
mod day_chart;
mod deployment_actions;
mod deployment_dialogs;
mod dialog;
mod environment_dialogs;
mod environment_side;
mod error_view;
mod form;
mod frame;
mod header;
mod ladder;
mod line_chart;
mod live_indicator;
mod live_reload;
mod log_view;
mod making_view;
mod model_dialogs;
mod promote_dialog;
mod replicas;
mod rolling;
mod rollout_buttons;
mod sample_traffic;
mod scaling_chart;
mod scaling_form;
mod scaling_history;
mod sentence;
mod start_phases;
mod status;
mod theme;
mod time;
mod toast;
mod traffic_bar;
mod try_it;

pub use access_form::{AccessFields, AccessSection};
pub use action_menu::{ActionMenu, MenuItem};
pub use cold_starts::ColdStarts;
pub use copies::{Copies, TerminateDialog};
pub use copy::{CodeBlock, CopyButton};
pub use day_chart::DayChart;
pub use deployment_actions::DeploymentActions;
pub use deployment_dialogs::{
    ActivateDialog, DeactivateDialog, DeleteDialog, PublishDialog, RenameDialog, RetryDialog,
};
pub use dialog::{DialogButton, DialogKind, use_dialog};
pub use environment_dialogs::{
    ActivateEnvironmentDialog, DeactivateEnvironmentDialog, DeleteEnvironmentDialog, NewEnvironmentDialog,
};
pub use environment_side::{SidesTable, group};
pub use error_view::{ErrorView, Gone, Loading};
pub use form::{FormError, Refresh, provide_refresh, when_done};
pub use frame::{Frame, Mark};
pub use header::{Crumb, PageHeader};
pub use ladder::Ladder;
pub use line_chart::{LineChart, Lines, short};
pub use live_indicator::LiveIndicator;
pub use live_reload::LiveReload;
pub use log_view::LogView;
pub use making_view::MakingView;
pub use model_dialogs::DeleteModelDialog;
pub use promote_dialog::PromoteDialog;
pub use replicas::ReplicaDots;
pub use rolling::{ReplicasMoved, RollingFields};
pub use rollout_buttons::{RollForwardDialog, RolloutButtons};
pub use sample_traffic::SampleTraffic;
pub use scaling_chart::ScalingChart;
pub use scaling_form::ScalingForm;
pub use scaling_history::ScalingHistory;
pub use sentence::Sentence;
pub use start_phases::StartPhases;
pub use status::{StatusBadge, phase_word};
pub use theme::ThemeChoice;
pub use time::{Countdown, TimeAgo};
pub use toast::{Toasts, provide_toasts, use_toasts};
pub use traffic_bar::TrafficBar;
pub use try_it::TryIt;

/// The path of a model's page.
pub fn model_path(model: &str) -> String {
    format!("/models/{model}")
}

/// The path of an environment's page.
pub fn environment_path(model: &str, environment: &str) -> String {
    format!("/models/{model}/environments/{environment}")
}

/// The path of a deployment's page.
pub fn deployment_path(model: &str, deployment: &str) -> String {
    format!("/models/{model}/deployments/{deployment}")
}

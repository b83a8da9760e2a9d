//! Pages whose code a browser loads when it first opens them.
//!
//! The page that the server rendered is loaded before the dashboard takes it over, so taking over never waits; the
//! others come when a link leads to them. With feature `split` (the built site) each page below is a file of its own;
//! without it, on the server and in a plain build, they are simply there.

use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::components::ScalingHistory;
use crate::erase::Erase;
use crate::pages::{
    ActivityPage, DeploymentDialogs, DeploymentPage, EnvironmentPage, LogsPage, MetricsPage, ModelPage,
    ReferencePage, SettingsPage, UsagePage,
};

/// A page with code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    Model,
    Environment,
    /// A deployment's page, and the log of an environment.
    Deployment,
    Usage,
    Metrics,
    Activity,
    Settings,
    /// The part of a deployment's page that explains its scaling.
    Scaling,
    /// The dialogs of a deployment's page, which come when the first one is opened.
    DeploymentDialogs,
    Reference,
}

/// Whose part of a page is shown; a part's code takes no arguments.
#[derive(Clone)]
pub struct PartOf {
    pub model_id: String,
    pub deployment_id: String,
}

/// Makes a page's view, once its code is there.
type MakeView = fn() -> AnyView;

impl Chunk {
    /// The page behind a path, if it is one of these.
    pub fn of_path(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            ["models", _] => Some(Self::Model),
            ["models", _, "environments", _] => Some(Self::Environment),
            ["models", _, "deployments" | "logs", _] | ["models", _, "environments", _, "logs"] => {
                Some(Self::Deployment)
            }
            ["models", _, "metrics"] | ["models", _, "environments" | "deployments", _, "metrics"] => {
                Some(Self::Metrics)
            }
            ["usage"] => Some(Self::Usage),
            ["settings", _] => Some(Self::Settings),
            ["reference"] => Some(Self::Reference),
            ["activity"] | ["models", _, "activity"] => Some(Self::Activity),
            _ => None,
        }
    }

    /// What an address shows at once: its page, and the dialog that is open in it.
    pub fn of_address(path: &str, query: &str) -> Vec<Self> {
        let page = Self::of_path(path);
        let is_open = query.trim_start_matches('?').split('&').any(|pair| pair.starts_with("dialog="));
        let dialogs = (page == Some(Self::Deployment) && is_open).then_some(Self::DeploymentDialogs);
        page.into_iter().chain(dialogs).collect()
    }

    /// The chunk's name in the site's manifest.
    #[cfg(feature = "ssr")]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Environment => "environment",
            Self::Deployment => "deployment",
            Self::Usage => "usage",
            Self::Metrics => "metrics",
            Self::Activity => "activity",
            Self::Settings => "settings",
            Self::Scaling => "scaling",
            Self::DeploymentDialogs => "deployment_dialogs",
            Self::Reference => "reference",
        }
    }
}

fn model_view() -> AnyView {
    view! { <ModelPage /> }.erased()
}

fn environment_view() -> AnyView {
    view! { <EnvironmentPage /> }.erased()
}

/// A deployment's page, or the log of an environment, which is mostly the same code: in a file of its own it would make both larger.
fn deployment_view() -> AnyView {
    let is_of_environment = use_params_map().read_untracked().get("environment").is_some();
    match is_of_environment {
        true => view! { <LogsPage /> }.erased(),
        false => view! { <DeploymentPage /> }.erased(),
    }
}

fn usage_view() -> AnyView {
    view! { <UsagePage /> }.erased()
}

fn activity_view() -> AnyView {
    view! { <ActivityPage /> }.erased()
}

fn scaling_view() -> AnyView {
    let PartOf { model_id, deployment_id } = expect_context();
    view! { <ScalingHistory model_id deployment_id /> }.erased()
}

fn deployment_dialogs_view() -> AnyView {
    view! { <DeploymentDialogs /> }.erased()
}

fn reference_view() -> AnyView {
    view! { <ReferencePage /> }.erased()
}

fn settings_view() -> AnyView {
    view! { <SettingsPage /> }.erased()
}

fn metrics_view() -> AnyView {
    view! { <MetricsPage /> }.erased()
}

#[cfg(not(feature = "split"))]
mod loading {
    use super::{Chunk, MakeView};

    impl Chunk {
        /// The page's view; its code is part of the program.
        pub fn loaded(self) -> Option<MakeView> {
            Some(match self {
                Self::Model => super::model_view,
                Self::Environment => super::environment_view,
                Self::Deployment => super::deployment_view,
                Self::Usage => super::usage_view,
                Self::Metrics => super::metrics_view,
                Self::Activity => super::activity_view,
                Self::Settings => super::settings_view,
                Self::Scaling => super::scaling_view,
                Self::DeploymentDialogs => super::deployment_dialogs_view,
                Self::Reference => super::reference_view,
            })
        }

        /// Loads the page's code.
        pub async fn load(self) -> Result<MakeView, String> {
            self.loaded().ok_or_else(String::new)
        }
    }
}

#[cfg(feature = "split")]
mod loading {
    use std::sync::OnceLock;

    use leptos::wasm_split::{SplitLoaderError, wasm_split};

    use super::{Chunk, MakeView};

    static LOADED: [OnceLock<MakeView>; 10] = [const { OnceLock::new() }; 10];

    impl Chunk {
        /// The page's view, if its code is there.
        pub fn loaded(self) -> Option<MakeView> {
            LOADED[self as usize].get().copied()
        }

        /// Loads the page's code, unless it is there.
        pub async fn load(self) -> Result<MakeView, String> {
            let view = match self {
                Self::Model => model().await,
                Self::Environment => environment().await,
                Self::Deployment => deployment().await,
                Self::Usage => usage().await,
                Self::Metrics => metrics().await,
                Self::Activity => activity().await,
                Self::Settings => settings().await,
                Self::Scaling => scaling().await,
                Self::DeploymentDialogs => deployment_dialogs().await,
                Self::Reference => reference().await,
            }
            .map_err(|error| error.to_string())?;
            Ok(*LOADED[self as usize].get_or_init(|| view))
        }
    }

    // Only the pointer crosses from file to file, so a loaded page is made like any other: at once.

    #[wasm_split(model, wasm_split_path = leptos::wasm_split, fallible)]
    fn model() -> Result<MakeView, SplitLoaderError> {
        Ok(super::model_view)
    }

    #[wasm_split(environment, wasm_split_path = leptos::wasm_split, fallible)]
    fn environment() -> Result<MakeView, SplitLoaderError> {
        Ok(super::environment_view)
    }

    #[wasm_split(deployment, wasm_split_path = leptos::wasm_split, fallible)]
    fn deployment() -> Result<MakeView, SplitLoaderError> {
        Ok(super::deployment_view)
    }

    #[wasm_split(usage, wasm_split_path = leptos::wasm_split, fallible)]
    fn usage() -> Result<MakeView, SplitLoaderError> {
        Ok(super::usage_view)
    }

    #[wasm_split(activity, wasm_split_path = leptos::wasm_split, fallible)]
    fn activity() -> Result<MakeView, SplitLoaderError> {
        Ok(super::activity_view)
    }

    #[wasm_split(scaling, wasm_split_path = leptos::wasm_split, fallible)]
    fn scaling() -> Result<MakeView, SplitLoaderError> {
        Ok(super::scaling_view)
    }

    #[wasm_split(deployment_dialogs, wasm_split_path = leptos::wasm_split, fallible)]
    fn deployment_dialogs() -> Result<MakeView, SplitLoaderError> {
        Ok(super::deployment_dialogs_view)
    }

    #[wasm_split(reference, wasm_split_path = leptos::wasm_split, fallible)]
    fn reference() -> Result<MakeView, SplitLoaderError> {
        Ok(super::reference_view)
    }

    #[wasm_split(settings, wasm_split_path = leptos::wasm_split, fallible)]
    fn settings() -> Result<MakeView, SplitLoaderError> {
        Ok(super::settings_view)
    }

    #[wasm_split(metrics, wasm_split_path = leptos::wasm_split, fallible)]
    fn metrics() -> Result<MakeView, SplitLoaderError> {
        Ok(super::metrics_view)
    }
}

/// A part of a page that is not rendered on the server: its code and its data come once the page lives.
#[component]
pub fn LaterPart(chunk: Chunk, of: PartOf) -> impl IntoView {
    provide_context(of);
    let made = RwSignal::new(None::<Result<MakeView, String>>);
    Effect::new(move || {
        leptos::task::spawn_local(async move {
            let outcome = chunk.load().await;
            // The reader may have left for another page meanwhile.
            let _ = made.try_set(Some(outcome));
        });
    });
    view! {
        <div class="part">
            {move || match made.get() {
                None => view! { <p class="loading" role="status">"Loading…"</p> }.erased(),
                Some(Ok(make)) => make(),
                Some(Err(error)) => view! { <NotLoaded error /> }.erased(),
            }}
        </div>
    }
}

/// A page, or a line that says it is on its way.
#[component]
pub fn Later(chunk: Chunk) -> impl IntoView {
    match chunk.loaded() {
        Some(make) => make(),
        None => view! { <Awaited chunk /> }.erased(),
    }
}

#[component]
fn Awaited(chunk: Chunk) -> impl IntoView {
    let loaded = RwSignal::new(None::<Result<MakeView, String>>);
    leptos::task::spawn_local(async move {
        let outcome = chunk.load().await;
        // The reader may have left for another page meanwhile.
        let _ = loaded.try_set(Some(outcome));
    });
    move || match loaded.get() {
        None => view! { <p class="loading" role="status">"Loading…"</p> }.erased(),
        Some(Ok(make)) => make(),
        Some(Err(error)) => view! { <NotLoaded error /> }.erased(),
    }
}

/// The server does not answer, or it was replaced by one that has another dashboard.
#[component]
fn NotLoaded(error: String) -> impl IntoView {
    view! {
        <section class="empty">
            <h1>"This page could not be loaded"</h1>
            <p>{error}</p>
            <p>
                <a href="" rel="external">"Load it again"</a>
            </p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_page() {
        assert_eq!(Chunk::of_path("/models/abc"), Some(Chunk::Model));
        assert_eq!(Chunk::of_path("/models/abc/"), Some(Chunk::Model));
        assert_eq!(Chunk::of_path("/models/abc/environments/production"), Some(Chunk::Environment));
        assert_eq!(Chunk::of_path("/models/abc/deployments/d"), Some(Chunk::Deployment));
        assert_eq!(Chunk::of_path("/models/abc/logs/d"), Some(Chunk::Deployment));
        assert_eq!(Chunk::of_path("/models/abc/environments/production/logs"), Some(Chunk::Deployment));
        assert_eq!(Chunk::of_path("/models/abc/metrics"), Some(Chunk::Metrics));
        assert_eq!(Chunk::of_path("/usage"), Some(Chunk::Usage));
        assert_eq!(Chunk::of_path("/models/abc/environments/production/metrics"), Some(Chunk::Metrics));
        assert_eq!(Chunk::of_path("/models/abc/deployments/d/metrics"), Some(Chunk::Metrics));
        assert_eq!(Chunk::of_path("/settings/keys"), Some(Chunk::Settings));
        assert_eq!(Chunk::of_path("/reference"), Some(Chunk::Reference));
        assert_eq!(Chunk::of_path("/activity"), Some(Chunk::Activity));
        assert_eq!(Chunk::of_path("/models/abc/activity"), Some(Chunk::Activity));
        let deployment = "/models/abc/deployments/d";
        assert_eq!(Chunk::of_address(deployment, "?level=INFO"), [Chunk::Deployment]);
        assert_eq!(
            Chunk::of_address(deployment, "?cursor=1&dialog=rename"),
            [Chunk::Deployment, Chunk::DeploymentDialogs]
        );
        assert_eq!(Chunk::of_address("/models/abc", "dialog=rename"), [Chunk::Model]);
        assert_eq!(Chunk::of_address("/models", ""), []);
        for path in ["/", "/models", "/sign-in", "/models/a/b/c", "/nowhere"] {
            assert_eq!(Chunk::of_path(path), None, "{path}");
        }
    }
}

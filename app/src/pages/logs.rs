//! The log of an environment: what all deployments wrote that it had.

use domain::Timestamp;
use leptos::prelude::*;
use serde::Deserialize;

use super::use_param;
use crate::components::{Crumb, Gone, LogView, PageHeader, environment_path, model_path};
use crate::erase::Erase;
use crate::fresh::{AsOf, keep_fresh};
use crate::live::Topic;
use crate::read::{self, Loaded, decode};
use crate::view::LogScope;

/// What this page needs of an environment's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Whose {
    as_of: Timestamp,
    model_id: String,
    model_name: String,
    name: String,
    headline: String,
}

impl AsOf for Whose {
    fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

#[component]
pub fn LogsPage() -> impl IntoView {
    let (model, environment) = (use_param("model"), use_param("environment"));
    view! {
        <Loaded
            which=Signal::derive(move || vec![model.get(), environment.get()])
            read=|mut which| read::environment(which.remove(0), which.remove(0))
            body=|text| {
                let initial = decode::<Whose>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: Whose) -> impl IntoView {
    let Whose { model_id, model_name, name, .. } = initial.clone();
    let reading = (model_id.clone(), name.clone());
    let fresh = keep_fresh(
        initial,
        Topic::Model(model_id.clone()),
        |_| false,
        move || read::environment(reading.0.clone(), reading.1.clone()),
    );
    let page = fresh.value;
    let title = format!("Logs of {name}");
    let crumbs = vec![
        Crumb::new("Models".to_owned(), "/models"),
        Crumb::new(model_name, model_path(&model_id)),
        Crumb::new(name.clone(), environment_path(&model_id, &name)),
    ];
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=crumbs
            title=title
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        />
        <section id="logs" class="logs-page" aria-label="Log">
            <p class="hint">
                "What its deployments wrote while they were here: both sides of a promotion, in the order of time."
            </p>
            <LogView of=LogScope::environment(model_id, name) />
        </section>
    }
}

//! Paths to pages. They are part of the product and stay.

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::components::{ParentRoute, Redirect, Route, Router, Routes};
use leptos_router::{SsrMode, path};

use crate::chunks::{Chunk, Later};
use crate::clock::provide_clock;
use crate::components::{Frame, provide_toasts};
use crate::live::provide_live;
use crate::pages::{ModelsPage, NotFound, SignInPage};

/// The whole dashboard.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    provide_clock();
    provide_live();
    provide_toasts();

    // Data pages wait for their data, so they are whole without JavaScript and carry the right
    // title and status.
    view! {
        <Title formatter=|title: String| {
            if title.is_empty() { "Slipway".into() } else { format!("{title} · Slipway") }
        } />
        <Router>
            <Routes fallback=NotFound>
                <Route path=path!("/sign-in") view=SignInPage ssr=SsrMode::Async />
                <ParentRoute path=path!("") view=Frame ssr=SsrMode::Async>
                    <Route path=path!("/") view=|| view! { <Redirect path="/models" /> } ssr=SsrMode::Async />
                    <Route path=path!("/models") view=ModelsPage ssr=SsrMode::Async />
                    <Route path=path!("/models/:model") view=|| view! { <Later chunk=Chunk::Model /> } ssr=SsrMode::Async />
                    <Route
                        path=path!("/models/:model/environments/:environment")
                        view=|| view! { <Later chunk=Chunk::Environment /> }
                        ssr=SsrMode::Async
                    />
                    <Route path=path!("/models/:model/deployments/:deployment") view=|| view! { <Later chunk=Chunk::Deployment /> } ssr=SsrMode::Async />
                    // Where the push client's printed links to logs lead.
                    <Route path=path!("/models/:model/logs/:deployment") view=|| view! { <Later chunk=Chunk::Deployment /> } ssr=SsrMode::Async />
                    <Route path=path!("/models/:model/activity") view=|| view! { <Later chunk=Chunk::Activity /> } ssr=SsrMode::Async />
                    <Route path=path!("/settings") view=|| view! { <Redirect path="/settings/people" /> } ssr=SsrMode::Async />
                    <Route path=path!("/settings/:part") view=|| view! { <Later chunk=Chunk::Settings /> } ssr=SsrMode::Async />
                    <Route path=path!("/activity") view=|| view! { <Later chunk=Chunk::Activity /> } ssr=SsrMode::Async />
                    <Route path=path!("/models/:model/metrics") view=|| view! { <Later chunk=Chunk::Metrics /> } ssr=SsrMode::Async />
                    <Route
                        path=path!("/models/:model/environments/:environment/metrics")
                        view=|| view! { <Later chunk=Chunk::Metrics /> }
                        ssr=SsrMode::Async
                    />
                    <Route
                        path=path!("/models/:model/environments/:environment/logs")
                        view=|| view! { <Later chunk=Chunk::Deployment /> }
                        ssr=SsrMode::Async
                    />
                    <Route
                        path=path!("/models/:model/deployments/:deployment/metrics")
                        view=|| view! { <Later chunk=Chunk::Metrics /> }
                        ssr=SsrMode::Async
                    />
                    <Route path=path!("/reference") view=|| view! { <Later chunk=Chunk::Reference /> } ssr=SsrMode::Async />
                    <Route path=path!("/usage") view=|| view! { <Later chunk=Chunk::Usage /> } ssr=SsrMode::Async />
                </ParentRoute>
            </Routes>
        </Router>
    }
}

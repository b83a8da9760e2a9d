//! One deployment: how it stands, its replicas and logs, how to call it.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use domain::{AutoscalingSettings, ReplicaState, Timestamp};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::use_navigate;

use super::use_param;
use crate::components::{
    ActivateDialog, CodeBlock, CopyButton, Crumb, DeactivateDialog, DeleteDialog, DeploymentActions,
    DialogKind, FormError, Gone, LogView, PageHeader, PromoteDialog, RenameDialog, ReplicaDots, RetryDialog,
    StatusBadge, TimeAgo, TryIt, environment_path, model_path, provide_refresh, use_dialog, when_done,
};
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::server_fns::UpdateAutoscaling;
use crate::view::{self, DeploymentRef, ReplicaRow};

type Page = RwSignal<view::DeploymentPage>;

#[component]
pub fn DeploymentPage() -> impl IntoView {
    let (model, deployment) = (use_param("model"), use_param("deployment"));
    view! {
        <Loaded
            which=Signal::derive(move || vec![model.get(), deployment.get()])
            read=|mut which| read::deployment(which.remove(0), which.remove(0))
            body=|text| {
                let initial = decode::<view::DeploymentPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: view::DeploymentPage) -> impl IntoView {
    let (model_id, id) = (initial.model_id.clone(), initial.id.clone());
    let model_name = initial.model_name.clone();
    let (logs, example, snippets) =
        (initial.logs.clone(), initial.example_input.clone(), initial.snippets.clone());
    let created = (initial.created_at, initial.created_by.clone());
    let moving = |page: &view::DeploymentPage| {
        use domain::DeploymentStatus::*;
        matches!(page.status, Building | Deploying | LoadingModel | WakingUp | Updating | Deactivating)
    };
    let reading = (model_id.clone(), id.clone());
    let fresh = keep_fresh(initial, Topic::Model(model_id.clone()), moving, move || {
        read::deployment(reading.0.clone(), reading.1.clone())
    });
    provide_refresh(move || fresh.refresh());
    let page = fresh.value;
    let name = Signal::derive(move || page.with(|page| page.name.clone()));
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let environment = Memo::new(move |_| page.with(|page| page.environment.clone()));
    let address = Signal::derive(move || page.with(|page| page.address.clone()));
    let chip_model = model_id.clone();
    let actions_id = id.clone();
    let snippets = snippets
        .into_iter()
        .map(|snippet| {
            view! {
                <h3>{snippet.language.clone()}</h3>
                <CodeBlock code=snippet.code what=format!("{} call", snippet.language) />
            }
        })
        .collect_view();
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=vec![
                Crumb::new("Models".to_owned(), "/models"),
                Crumb::new(model_name, model_path(&model_id)),
            ]
            title=name
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        >
            <DeploymentActions
                id=actions_id
                name=name
                actions=Signal::derive(move || page.with(|page| page.actions.clone()))
            />
        </PageHeader>

        <div class="facts">
            <StatusBadge status=Signal::derive(move || page.with(|page| page.status)) />
            <span class="sentence">{move || page.with(|page| page.sentence.clone())}</span>
            {move || {
                environment
                    .get()
                    .map(|name| {
                        let path = environment_path(&chip_model, &name);
                        view! { <A href=path attr:class="chip">{name}</A> }
                    })
            }}
            <span class="by">
                "created " <TimeAgo at=created.0 as_of=as_of /> {created.1.map(|by| format!(" by {by}"))}
            </span>
            <span class="by">"id " <code>{id.clone()}</code></span>
            <span class="by">"instance type " {move || page.with(|page| page.instance_type.clone())}</span>
            <span class="by">{move || page.with(|page| page.holds.clone())}</span>
        </div>
        <p class="address">
            <code>{address}</code>
            <CopyButton text=address what="address" />
        </p>

        <section aria-labelledby="replicas">
            <h2 id="replicas">
                "Replicas " <ReplicaDots replicas=Signal::derive(move || page.with(|page| page.replicas)) />
            </h2>
            <Copies page=page />
        </section>

        <section aria-labelledby="logs">
            <h2 id="logs">"Logs"</h2>
            <LogView model_id=model_id.clone() deployment_id=id.clone() initial=logs />
        </section>

        <div class="columns">
            <section aria-labelledby="try-it">
                <h2 id="try-it">"Try it"</h2>
                <TryIt
                    model_id=model_id.clone()
                    deployment_id=id.clone()
                    example=example
                    permit=Signal::derive(move || page.with(|page| page.try_it.clone()))
                />
            </section>
            <section aria-labelledby="call-it">
                <h2 id="call-it">"Call it"</h2>
                {snippets}
            </section>
        </div>

        <Autoscaling page=page model_id=model_id.clone() id=id />
        <Dialogs page=page model_id=model_id />
    }
}

#[component]
fn Copies(page: Page) -> impl IntoView {
    let copies = Memo::new(move |_| page.with(|page| page.copies.clone()));
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    move || {
        let list = copies.get();
        if list.is_empty() {
            return view! { <p class="none">"No replica runs. " {page.with(|page| page.sentence.clone())} "."</p> }
                .erased();
        }
        let rows = list.into_iter().map(|copy| replica(copy, as_of)).collect_view();
        view! {
            <div class="scroll" tabindex="0" role="region" aria-label="Replicas">
                <table>
                    <caption class="hidden">"Replicas"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Replica"</th>
                            <th scope="col">"State"</th>
                            <th scope="col">"Started"</th>
                            <th scope="col">"Ready after"</th>
                            <th scope="col" class="number">"In flight"</th>
                            <th scope="col" class="number">"Process"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
        .erased()
    }
}

fn replica(copy: ReplicaRow, as_of: Signal<Timestamp>) -> impl IntoView {
    let (tone, word) = match copy.state {
        ReplicaState::Starting => ("busy", "Starting".to_owned()),
        ReplicaState::Loading => ("busy", "Loading the model".to_owned()),
        ReplicaState::Ready => ("ok", "Ready".to_owned()),
        ReplicaState::Unready => ("warn", "Not answering".to_owned()),
        ReplicaState::Stopping => ("off", "Stopping".to_owned()),
        ReplicaState::Exited { reason, .. } => ("bad", reason),
    };
    let ready_after = copy
        .ready_at
        .map_or("–".to_owned(), |at| format!("{:.1} s", at.since(copy.started_at) as f64 / 1000.0));
    let number = |value: Option<u32>| value.map_or("–".to_owned(), |value| value.to_string());
    view! {
        <tr>
            <th scope="row">
                <code>{copy.id}</code>
            </th>
            <td>
                <span class="status" data-tone=tone>
                    {word}
                </span>
            </td>
            <td>
                <TimeAgo at=copy.started_at as_of=as_of />
            </td>
            <td>{ready_after}</td>
            <td class="number">{number(copy.in_flight)}</td>
            <td class="number">{number(copy.pid)}</td>
        </tr>
    }
}

#[component]
fn Autoscaling(page: Page, model_id: String, id: String) -> impl IntoView {
    let update = Post::to::<UpdateAutoscaling>();
    when_done(update, || ());
    let refused =
        Memo::new(move |_| page.with(|page| page.may_change_autoscaling.reason().map(str::to_owned)));
    let settings = page.with_untracked(|page| page.autoscaling.clone())?;
    let environment = page.with_untracked(|page| page.environment.clone());
    let development = page.with_untracked(|page| page.is_development);
    let AutoscalingSettings {
        min_replica,
        max_replica,
        autoscaling_window,
        scale_down_delay,
        concurrency_target,
        target_utilization_percentage,
        max_scale_down_rate,
    } = settings;
    let field = |name: &'static str, label: &'static str, value: u32, low: u32, high: u32| {
        view! {
            <label class="field">
                <span>{label}</span>
                <input type="number" name=name value=value.to_string() min=low.to_string() max=high.to_string() required />
            </label>
        }
    };
    let counts = (!development).then(|| {
        view! {
            {field("min_replica", "Replicas, at least", min_replica, 0, 1000)}
            {field("max_replica", "Replicas, at most", max_replica, 1, 1000)}
        }
    });
    let rate = (!development)
        .then(|| field("max_scale_down_rate", "Removed at once, at most, %", max_scale_down_rate, 1, 50));
    let whose = match environment {
        Some(name) => {
            format!("These are the settings of {name}: they stay there when another deployment is promoted.")
        }
        None => "These are its own settings; an environment brings its own.".to_owned(),
    };
    Some(view! {
        <section class="settings" aria-labelledby="autoscaling">
            <h2 id="autoscaling">"Autoscaling"</h2>
            <p class="hint">{whose}</p>
            <PostForm post=update>
                <input type="hidden" name="model_id" value=model_id />
                <input type="hidden" name="deployment_id" value=id />
                <div class="fields">
                    {counts} {field("concurrency_target", "Requests a replica carries", concurrency_target, 1, 1_000_000)}
                    {field(
                        "target_utilization_percentage",
                        "Of which aimed at, %",
                        target_utilization_percentage,
                        1,
                        100,
                    )} {field("autoscaling_window", "Load averaged over, s", autoscaling_window, 10, 3600)}
                    {field("scale_down_delay", "Low load before scaling down, s", scale_down_delay, 0, 3600)} {rate}
                </div>
                <FormError post=update />
                {move || refused.get().map(|why| view! { <p class="hint">{why}</p> })}
                <button
                    type="submit"
                    class="plain"
                    disabled=move || update.pending.get() || refused.with(Option::is_some)
                >
                    "Save"
                </button>
            </PostForm>
        </section>
    })
}

#[component]
fn Dialogs(page: Page, model_id: String) -> impl IntoView {
    let dialog = use_dialog();
    let navigate = use_navigate();
    let to = model_path(&model_id);
    let leave = Callback::new(move |()| navigate(&to, NavigateOptions::default()));
    move || {
        let open = dialog.get()?;
        let model_id = model_id.clone();
        let shown = page.get_untracked();
        let deployment = DeploymentRef { id: shown.id, name: shown.name };
        let view = match open.kind {
            DialogKind::Promote => view! {
                <PromoteDialog
                    model_id
                    choices=shown.choices
                    deployment=Some(deployment.id)
                    environment=open.environment
                />
            }
            .erased(),
            DialogKind::Rename => view! { <RenameDialog model_id deployment /> }.erased(),
            DialogKind::Retry => view! { <RetryDialog model_id deployment /> }.erased(),
            DialogKind::Activate => view! { <ActivateDialog model_id deployment /> }.erased(),
            DialogKind::Deactivate => {
                view! { <DeactivateDialog model_id deployment environment=shown.environment /> }.erased()
            }
            DialogKind::Delete => {
                let may_deactivate = shown.actions.deactivate.is_allowed();
                view! { <DeleteDialog model_id deployment may_deactivate then=leave /> }.erased()
            }
            DialogKind::DeleteModel | DialogKind::NewEnvironment => return None,
        };
        Some(view)
    }
}

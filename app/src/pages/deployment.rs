//! One deployment: how it stands, its replicas and log, how to call it.

use crate::erase::Erase;
use crate::post::Post;
use crate::read::{self, Loaded, decode};
use domain::ReplicaState;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::use_navigate;

use super::use_param;
use crate::chunks::{Chunk, Later, LaterPart, PartOf};
use crate::components::{
    ActivateDialog, CodeBlock, Copies, CopyButton, Crumb, DeactivateDialog, DeleteDialog, DeploymentActions,
    DialogKind, Gone, LiveReload, LogView, MakingView, PageHeader, PromoteDialog, PublishDialog,
    RenameDialog, ReplicaDots, RetryDialog, ScalingForm, StatusBadge, TerminateDialog, TimeAgo, TryIt,
    deployment_path, environment_path, model_path, provide_refresh, use_dialog, when_done,
};
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::server_fns::UpdateAutoscaling;
use crate::view::{self, DeploymentRef, LogScope, ReplicaRow};

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
    let development = initial.is_development;
    let (example, snippets) = (initial.example_input.clone(), initial.snippets.clone());
    let metrics = format!("{}/metrics", deployment_path(&model_id, &id));
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
    let making = Memo::new(move |_| page.with(|page| page.making.clone()));
    let address = Signal::derive(move || page.with(|page| page.address.clone()));
    let chip_model = model_id.clone();
    provide_context(DialogsOf { page, model_id: model_id.clone() });
    let dialog = use_dialog();
    let opened = Memo::new(move |_| dialog.with(Option::is_some));
    let part = PartOf { model_id: model_id.clone(), deployment_id: id.clone() };
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
            <A href=metrics attr:class="button plain">
                "Metrics"
            </A>
            <DeploymentActions
                id=actions_id
                name=name
                actions=Signal::derive(move || page.with(|page| page.actions.clone()))
            />
        </PageHeader>

        <div class="facts">
            {move || view! { <StatusBadge status=page.with(|page| page.status) /> }}
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
        {move || making.get().map(|making| view! { <MakingView making=making as_of=as_of /> })}
        <p class="address">
            <code>{address}</code>
            <CopyButton text=address what="address" />
        </p>

        <section aria-labelledby="replicas">
            <h2 id="replicas">
                "Replicas " {move || view! { <ReplicaDots replicas=page.with(|page| page.replicas) /> }}
            </h2>
            <Copies
                model_id=model_id.clone()
                deployment_id=id.clone()
                copies=Signal::derive(move || page.with(|page| page.copies.clone()))
                as_of=as_of
                otherwise=Signal::derive(move || page.with(|page| page.sentence.clone()))
            />
        </section>

        {development.then(|| view! { <LiveReload model_id=model_id.clone() /> })}

        <LaterPart chunk=Chunk::Scaling of=part />

        <section aria-labelledby="logs">
            <h2 id="logs">"Logs"</h2>
            <LogView of=LogScope::deployment(model_id.clone(), id.clone()) />
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
        {move || opened.get().then(|| view! { <Later chunk=Chunk::DeploymentDialogs /> })}
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
    let whose = match environment {
        Some(name) => {
            format!("These are the settings of {name}: they stay there when another deployment is promoted.")
        }
        None if development => {
            "A development deployment has one replica at most, and sleeps when nobody calls. \
             Promote it to scale it."
                .to_owned()
        }
        None => "These are its own settings; an environment brings its own.".to_owned(),
    };
    let owner = vec![("model_id", model_id), ("deployment_id", id)];
    Some(view! {
        <section class="settings" aria-labelledby="autoscaling">
            <h2 id="autoscaling">"Autoscaling"</h2>
            <p class="hint">{whose}</p>
            <ScalingForm post=update owner=owner settings=settings development=development refused=refused />
        </section>
    })
}

/// Whose dialogs are shown; their code takes no arguments.
#[derive(Clone)]
struct DialogsOf {
    page: Page,
    model_id: String,
}

#[component]
pub fn DeploymentDialogs() -> impl IntoView {
    let DialogsOf { page, model_id } = expect_context();
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
            DialogKind::Publish => view! { <PublishDialog model_id deployment /> }.erased(),
            DialogKind::Retry => view! { <RetryDialog model_id deployment /> }.erased(),
            DialogKind::Activate => view! { <ActivateDialog model_id deployment /> }.erased(),
            DialogKind::Deactivate => {
                view! { <DeactivateDialog model_id deployment environment=shown.environment /> }.erased()
            }
            DialogKind::Delete => {
                let may_deactivate = shown.actions.deactivate.is_allowed();
                view! { <DeleteDialog model_id deployment may_deactivate then=leave /> }.erased()
            }
            DialogKind::Terminate => {
                let replica = open.replica?;
                let ready = |copy: &&ReplicaRow| copy.state == ReplicaState::Ready;
                let alone = shown.copies.iter().filter(ready).all(|copy| copy.id == replica);
                view! { <TerminateDialog model_id deployment replica alone /> }.erased()
            }
            _ => return None,
        };
        Some(view)
    }
}

//! One model: environments first, deployments below.

mod row;

use crate::erase::Erase;
use crate::read::{self, Loaded, decode};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::{use_navigate, use_query_map};

use super::use_param;
use crate::components::{
    ActivateDialog, CopyButton, Countdown, Crumb, DeactivateDialog, DeleteDialog, DeleteModelDialog,
    DeploymentActions, DialogButton, DialogKind, Gone, MakingView, NewEnvironmentDialog, PageHeader,
    PromoteDialog, PublishDialog, RenameDialog, ReplicaDots, RetryDialog, Sentence, StatusBadge, TimeAgo,
    TrafficBar, deployment_path, environment_path, model_path, phase_word, provide_refresh, use_dialog,
};
use crate::fresh::keep_fresh;
use crate::live::Topic;

use crate::view::{self, DeploymentRef, DevelopmentBand, EnvironmentCard, Permit};
use row::Row;

type Page = RwSignal<view::ModelPage>;

#[component]
pub fn ModelPage() -> impl IntoView {
    let id = use_param("model");
    let query = use_query_map();
    let cursor = Memo::new(move |_| query.with(|query| query.get("cursor")).unwrap_or_default());
    view! {
        <Loaded
            which=Signal::derive(move || vec![id.get(), cursor.get()])
            read=|mut which| read::model(which.remove(0), which.remove(0))
            body=|text| {
                let initial = decode::<view::ModelPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: view::ModelPage) -> impl IntoView {
    let id = initial.id.clone();
    // Lines of a build come without a nudge, as counts of a rollout do.
    let moving = |page: &view::ModelPage| {
        let development = page.development.iter().map(|band| &band.deployment);
        page.environments.iter().any(|environment| environment.promotion.is_some())
            || page
                .deployments
                .iter()
                .chain(development)
                .any(|row| row.making.as_ref().is_some_and(|making| making.running))
    };
    let reading = (id.clone(), initial.cursor.clone());
    let fresh = keep_fresh(initial, Topic::Model(id.clone()), moving, move || {
        read::model(reading.0.clone(), reading.1.clone())
    });
    provide_refresh(move || fresh.refresh());
    let page = fresh.value;
    let environments =
        move || page.with(|page| page.environments.iter().map(|card| card.name.clone()).collect::<Vec<_>>());
    let deployments =
        move || page.with(|page| page.deployments.iter().map(|row| row.id.clone()).collect::<Vec<_>>());
    let is_empty = move || page.with(|page| page.deployments.is_empty());
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let refused = move |pick: fn(&view::ModelPage) -> &Permit| {
        Signal::derive(move || page.with(|page| pick(page).reason().map(str::to_owned)))
    };
    let has_development = Memo::new(move |_| page.with(|page| page.development.is_some()));
    let activity = format!("{}/activity", model_path(&id));
    let metrics = format!("{}/metrics", model_path(&id));
    let card_model = id.clone();
    let row_model = id.clone();
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=vec![Crumb::new("Models".to_owned(), "/models")]
            title=Signal::derive(move || page.with(|page| page.name.clone()))
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        >
            <A href=metrics attr:class="button plain">
                "Metrics"
            </A>
            <A href=activity attr:class="button plain">
                "Activity"
            </A>
            <DialogButton
                kind=DialogKind::NewEnvironment
                class="plain"
                refused=refused(|page| &page.create_environment)
            >
                "Add environment"
            </DialogButton>
            <DialogButton kind=DialogKind::DeleteModel class="plain danger" refused=refused(|page| &page.delete)>
                "Delete model"
            </DialogButton>
        </PageHeader>

        <section aria-labelledby="environments">
            <h2 id="environments">"Environments"</h2>
            <div class="cards">
                <For each=environments key=String::clone let(name)>
                    <Card page=page model_id=card_model.clone() name=name />
                </For>
            </div>
        </section>

        <section aria-labelledby="deployments">
            <h2 id="deployments">"Deployments"</h2>
            {move || {
                (is_empty() && page.with(|page| page.cursor.is_empty()))
                    .then(|| {
                        view! {
                            <p class="none">
                                "No published deployment yet. "
                                <code>"truss push --publish"</code>
                                " makes one; promoting the development deployment does too."
                            </p>
                        }
                    })
            }}
            <div class="scroll" class:hidden=is_empty tabindex="0" role="region" aria-label="Deployments">
                <table class="deployments">
                    <caption class="hidden">"Deployments, newest first"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Name"</th>
                            <th scope="col">"Status"</th>
                            <th scope="col">"Environment"</th>
                            <th scope="col">"Replicas"</th>
                            <th scope="col">"Created"</th>
                            <th scope="col">
                                <span class="hidden">"Actions"</span>
                            </th>
                        </tr>
                    </thead>
                    <tbody>
                        <For each=deployments key=String::clone let(deployment)>
                            <Row page=page model_id=row_model.clone() id=deployment as_of=as_of />
                        </For>
                    </tbody>
                </table>
            </div>
            <Places page=page />
        </section>

        {
            let id = id.clone();
            move || has_development.get().then(|| view! { <Development page=page model_id=id.clone() /> })
        }
        <Dialogs page=page model_id=id />
    }
}

/// The ways to the other deployments where one page does not show all.
#[component]
fn Places(page: Page) -> impl IntoView {
    let places = Memo::new(move |_| page.with(|page| (page.cursor.clone(), page.older.clone(), page.count)));
    move || {
        let (cursor, older, count) = places.get();
        let path = page.with_untracked(|page| model_path(&page.id));
        (!cursor.is_empty() || older.is_some()).then(|| {
            let newest = (!cursor.is_empty()).then(|| {
                view! {
                    <A href=path.clone() attr:class="button plain">
                        "Newest"
                    </A>
                }
            });
            let older = older.map(|cursor| {
                let href = format!("{path}?cursor={cursor}");
                view! {
                    <A href=href attr:class="button plain">
                        "Older"
                    </A>
                }
            });
            view! {
                <nav class="pager" aria-label="Deployments by age">
                    {newest} {older} <span class="by">{count} " deployments in all"</span>
                </nav>
            }
        })
    }
}

#[component]
fn Card(page: Page, model_id: String, name: String) -> impl IntoView {
    let key = name.clone();
    let card = Memo::new(move |before: Option<&Option<EnvironmentCard>>| {
        page.with(|page| page.environments.iter().find(|card| card.name == key).cloned())
            .or(before.cloned().flatten())
    });
    let pick = move |get: fn(&EnvironmentCard) -> String| {
        Signal::derive(move || card.with(|card| card.as_ref().map(get).unwrap_or_default()))
    };
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let address = pick(|card| card.address.clone());
    let current = Memo::new(move |_| card.with(|card| card.as_ref()?.current.clone()));
    let candidate = Memo::new(move |_| card.with(|card| card.as_ref()?.candidate.clone()));
    let promotion = Memo::new(move |_| card.with(|card| card.as_ref()?.promotion.clone()));
    let restricted = Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(|card| card.restricted)));
    let percent =
        move || promotion.with(|promotion| promotion.as_ref().map_or(0, |promotion| promotion.percent));
    let bar = move || match promotion.with(Option::is_some) {
        true => format!("{} % to the candidate", percent()),
        false => "all traffic to the current deployment".to_owned(),
    };
    let path = environment_path(&model_id, &name);
    let title = name.clone();
    let model = StoredValue::new(model_id);
    let side = move |served: view::Served, candidate: bool| {
        let path = deployment_path(&model.get_value(), &served.deployment.id);
        view! {
            <div class="side-line" class:candidate=candidate>
                <a href=path>{served.deployment.name}</a>
                <StatusBadge status=served.status />
                <ReplicaDots replicas=served.replicas candidate=candidate />
            </div>
        }
    };
    view! {
        <article class="card" aria-label=name.clone()>
            <header>
                <h3>
                    <a href=path.clone()>{title}</a>
                    {move || restricted.get().then(|| view! { " " <span class="chip">"restricted"</span> })}
                </h3>
                <DialogButton kind=DialogKind::Promote environment=name.clone() class="plain">
                    "Promote…"
                </DialogButton>
            </header>
            <p class="sentence">
                <Sentence text=pick(|card| card.sentence.clone()) />
            </p>
            {move || match current.get() {
                Some(served) => side(served, false).erased(),
                None if promotion.with(Option::is_some) => ().erased(),
                None => view! { <p class="none">"Nothing promoted here yet."</p> }.erased(),
            }}
            {move || candidate.get().map(|served| side(served, true))}
            {move || {
                (current.with(Option::is_some) || promotion.with(Option::is_some))
                    .then(|| {
                        view! {
                            <TrafficBar
                                percent=Signal::derive(move || f64::from(percent()))
                                label=Signal::derive(bar)
                            />
                        }
                    })
            }}
            {move || {
                promotion
                    .get()
                    .map(|promotion| {
                        let next = promotion
                            .next_stage_at
                            .map(|until| {
                                view! {
                                    <span>
                                        "next stage in " <Countdown until=until as_of=as_of />
                                    </span>
                                }
                            });
                        view! {
                            <p class="stage">
                                <strong>{phase_word(promotion.phase)} ", " {promotion.percent} " %"</strong>
                                {next}
                                <a href=path.clone()>"Watch the rollout"</a>
                            </p>
                        }
                    })
            }}
            <p class="address">
                <code>{address}</code>
                <CopyButton text=address what=format!("address of {name}") />
            </p>
        </article>
    }
}

/// The development deployment, which changes under its author's hands.
#[component]
fn Development(page: Page, model_id: String) -> impl IntoView {
    let band = Memo::new(move |before: Option<&Option<DevelopmentBand>>| {
        page.with(|page| page.development.clone()).or(before.cloned().flatten())
    });
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    band.get_untracked().map(|first| {
        let fallback = first.clone();
        let band = Signal::derive(move || band.get().unwrap_or_else(|| fallback.clone()));
        let address = Signal::derive(move || band.with(|band| band.address.clone()));
        let making = Memo::new(move |_| band.with(|band| band.deployment.making.clone()));
        let path = deployment_path(&model_id, &first.deployment.id);
        let patched = move || {
            band.with(|band| band.patched_at)
                .map(|at| view! { <span class="by">"patched " <TimeAgo at=at as_of=as_of /></span> })
        };
        view! {
            <section class="band" aria-labelledby="development">
                <header>
                    <h2 id="development">
                        <a href=path.clone()>"Development"</a>
                    </h2>
                    {move || {
                        let (status, replicas) = band.with(|band| (band.deployment.status, band.deployment.replicas));
                        view! {
                            <StatusBadge status=status />
                            <ReplicaDots replicas=replicas />
                        }
                    }}
                    <DeploymentActions
                        id=first.deployment.id.clone()
                        name="development"
                        actions=Signal::derive(move || band.with(|band| band.deployment.actions.clone()))
                        page=path
                    />
                </header>
                <p class="sentence">
                    {move || band.with(|band| band.deployment.sentence.clone())} ". "
                    {move || band.with(|band| band.live_reload.clone())} " " {patched}
                </p>
                {move || making.get().map(|making| view! { <MakingView making=making as_of=as_of /> })}
                <p class="address">
                    <code>{address}</code>
                    <CopyButton text=address what="address of development" />
                </p>
            </section>
        }
    })
}

/// The dialog that the address asks for, over this model.
#[component]
fn Dialogs(page: Page, model_id: String) -> impl IntoView {
    let dialog = use_dialog();
    let navigate = use_navigate();
    let left = model_id.clone();
    let leave = Callback::new(move |()| navigate("/models", NavigateOptions::default()));
    move || {
        let open = dialog.get()?;
        let model_id = left.clone();
        let row = open.deployment.as_ref().and_then(|id| {
            page.with_untracked(|page| {
                page.deployments
                    .iter()
                    .chain(page.development.iter().map(|band| &band.deployment))
                    .find(|row| row.id == *id)
                    .cloned()
            })
        });
        let deployment = row.as_ref().map(|row| DeploymentRef { id: row.id.clone(), name: row.name.clone() });
        let view = match open.kind {
            DialogKind::Promote => {
                let choices = page.with_untracked(|page| page.choices.clone());
                view! { <PromoteDialog model_id choices deployment=open.deployment environment=open.environment /> }
                    .erased()
            }
            DialogKind::Rename => view! { <RenameDialog model_id deployment=deployment? /> }.erased(),
            DialogKind::Publish => view! { <PublishDialog model_id deployment=deployment? /> }.erased(),
            DialogKind::Retry => view! { <RetryDialog model_id deployment=deployment? /> }.erased(),
            DialogKind::Activate => view! { <ActivateDialog model_id deployment=deployment? /> }.erased(),
            DialogKind::Deactivate => {
                let environment = row?.environment;
                view! { <DeactivateDialog model_id deployment=deployment? environment /> }.erased()
            }
            DialogKind::Delete => {
                let may_deactivate = row?.actions.deactivate.is_allowed();
                view! { <DeleteDialog model_id deployment=deployment? may_deactivate then=Callback::new(|()| ()) /> }
                    .erased()
            }
            DialogKind::DeleteModel => {
                let (name, deployments) = page.with_untracked(|page| (page.name.clone(), page.count));
                view! { <DeleteModelDialog model_id name deployments then=leave /> }.erased()
            }
            DialogKind::NewEnvironment => {
                let people = page.with_untracked(|page| page.people.clone());
                view! { <NewEnvironmentDialog model_id people /> }.erased()
            }
            DialogKind::DeleteEnvironment | DialogKind::Terminate | DialogKind::RollForward => return None,
        };
        Some(view)
    }
}

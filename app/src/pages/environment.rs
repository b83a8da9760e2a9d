//! One environment. Its ladder is the page.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use domain::{CleanupStrategy, PromotionSettings};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::use_navigate;

use super::use_param;
use crate::clock::{absolute, local_time, machine, time_of_day, use_now};
use crate::components::{
    AccessSection, ActionMenu, ActivateEnvironmentDialog, CopyButton, Crumb, DeactivateEnvironmentDialog,
    DeleteEnvironmentDialog, DialogButton, DialogKind, FormError, Gone, Ladder, MenuItem, PageHeader,
    PromoteDialog, ReplicaDots, ReplicasMoved, RollForwardDialog, RollingFields, RolloutButtons,
    SampleTraffic, ScalingForm, Sentence, SidesTable, StatusBadge, TimeAgo, deployment_path,
    environment_path, model_path, phase_word, provide_refresh, use_dialog, when_done,
};
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::server_fns::{UpdateEnvironmentAutoscaling, UpdatePromotionSettings};
use crate::view::{self, Decision, EnvironmentActions, Permit, Rollout};
use crate::window::write_window;

type Page = RwSignal<view::EnvironmentPage>;

#[component]
pub fn EnvironmentPage() -> impl IntoView {
    let (model, environment) = (use_param("model"), use_param("environment"));
    view! {
        <Loaded
            which=Signal::derive(move || vec![model.get(), environment.get()])
            read=|mut which| read::environment(which.remove(0), which.remove(0))
            body=|text| {
                let initial = decode::<view::EnvironmentPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: view::EnvironmentPage) -> impl IntoView {
    let (model_id, name) = (initial.model_id.clone(), initial.name.clone());
    let model_name = initial.model_name.clone();
    let moving = |page: &view::EnvironmentPage| {
        page.rollout.as_ref().is_some_and(|rollout| rollout.running)
            || page.sample_run.is_some_and(|run| run.running)
    };
    let reading = (model_id.clone(), name.clone());
    let fresh = keep_fresh(initial, Topic::Model(model_id.clone()), moving, move || {
        read::environment(reading.0.clone(), reading.1.clone())
    });
    provide_refresh(move || fresh.refresh());
    let page = fresh.value;
    let address = Signal::derive(move || page.with(|page| page.address.clone()));
    let has_rollout = Memo::new(move |_| page.with(|page| page.rollout.is_some()));
    let restricted =
        Memo::new(move |_| page.with(|page| page.access.is_restricted.then(|| page.access.sentence.clone())));
    let promote = Signal::derive(move || page.with(|page| page.promote.reason().map(str::to_owned)));
    let rollout_model = model_id.clone();
    let rollout_name = name.clone();
    let current_model = model_id.clone();
    let path = environment_path(&model_id, &name);
    let (logs, metrics) = (format!("{path}/logs"), format!("{path}/metrics"));
    let (promote_name, menu_name) = (name.clone(), name.clone());
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=vec![
                Crumb::new("Models".to_owned(), "/models"),
                Crumb::new(model_name, model_path(&model_id)),
            ]
            title=name.clone()
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        >
            <div class="row-actions">
                <A href=logs attr:class="button plain">
                    "Logs"
                </A>
                <A href=metrics attr:class="button plain">
                    "Metrics"
                </A>
                <DialogButton kind=DialogKind::Promote environment=promote_name class="plain" refused=promote>
                    "Promote…"
                </DialogButton>
                <ActionMenu
                    id=menu_name.clone()
                    name=menu_name.clone()
                    items=Box::new(move || menu(page))
                    environment=menu_name
                />
            </div>
        </PageHeader>

        {move || restricted.get().map(|says| {
            view! {
                <p class="notice">
                    <span class="chip">"restricted"</span>
                    " "
                    {says}
                </p>
            }
        })}
        <Current page=page model_id=current_model />
        <p class="address">
            <code>{address}</code>
            <CopyButton text=address what=format!("address of {name}") />
        </p>
        <SampleTraffic
            model_id=model_id.clone()
            environment=name.clone()
            permit=Signal::derive(move || page.with(|page| page.sample.clone()))
            run=Signal::derive(move || page.with(|page| page.sample_run))
        />

        {move || match has_rollout.get() {
            true => {
                view! { <RolloutView page=page model_id=rollout_model.clone() name=rollout_name.clone() /> }.erased()
            }
            false => {
                view! {
                    <section class="empty-rollout">
                        <h2>"Rollout"</h2>
                        <p class="none">
                            "Nothing was promoted here yet. A promotion shows its stages, its split and its decisions here."
                        </p>
                    </section>
                }
                    .erased()
            }
        }}

        <Scaling page=page model_id=model_id.clone() name=name.clone() />
        <Settings page=page model_id=model_id.clone() name=name.clone() />
        <AccessSection
            environment=name.clone()
            access=Signal::derive(move || page.with(|page| page.access.clone()))
        />
        <Dialogs page=page model_id=model_id name=name />
    }
}

fn menu(page: Page) -> Vec<MenuItem> {
    let item = |kind: DialogKind, label: &'static str, pick: fn(&EnvironmentActions) -> &Permit| MenuItem {
        kind,
        label,
        danger: kind == DialogKind::DeleteEnvironment,
        refused: Signal::derive(move || page.with(|page| pick(&page.actions).reason().map(str::to_owned))),
    };
    vec![
        item(DialogKind::Activate, "Activate", |actions| &actions.activate),
        item(DialogKind::Deactivate, "Deactivate", |actions| &actions.deactivate),
        item(DialogKind::DeleteEnvironment, "Delete environment", |actions| &actions.delete),
    ]
}

/// The dialog that the address asks for, over this environment.
#[component]
fn Dialogs(page: Page, model_id: String, name: String) -> impl IntoView {
    let dialog = use_dialog();
    let navigate = use_navigate();
    let to = model_path(&model_id);
    let leave = Callback::new(move |()| navigate(&to, NavigateOptions::default()));
    move || {
        let open = dialog.get()?;
        let (model_id, name) = (model_id.clone(), name.clone());
        let serving = page.with_untracked(|page| page.current.as_ref().map(|s| s.deployment.name.clone()));
        let view = match open.kind {
            DialogKind::Promote => {
                let choices = page.with_untracked(|page| page.choices.clone());
                view! { <PromoteDialog model_id choices deployment=open.deployment environment=Some(name) /> }
                    .erased()
            }
            DialogKind::RollForward => {
                let (candidate, percent) = page.with_untracked(|page| {
                    let rollout = page.rollout.as_ref().filter(|rollout| rollout.running)?;
                    Some((rollout.candidate.served.deployment.name.clone(), rollout.percent))
                })?;
                view! { <RollForwardDialog model_id name serving candidate percent /> }.erased()
            }
            DialogKind::Activate => {
                view! { <ActivateEnvironmentDialog model_id name serving=serving? /> }.erased()
            }
            DialogKind::Deactivate => {
                view! { <DeactivateEnvironmentDialog model_id name serving=serving? /> }.erased()
            }
            DialogKind::DeleteEnvironment => {
                let promoting =
                    page.with_untracked(|page| page.rollout.as_ref().is_some_and(|rollout| rollout.running));
                view! { <DeleteEnvironmentDialog model_id name serving promoting then=leave /> }.erased()
            }
            _ => return None,
        };
        Some(view)
    }
}

#[component]
fn Scaling(page: Page, model_id: String, name: String) -> impl IntoView {
    let update = Post::to::<UpdateEnvironmentAutoscaling>();
    when_done(update, || ());
    // As they were when the page came: a half-changed form survives every update around it.
    let settings = page.with_untracked(|page| page.scaling.clone());
    let refused = Memo::new(move |_| page.with(|page| page.may_change_settings.reason().map(str::to_owned)));
    let owner = vec![("model_id", model_id), ("environment", name)];
    view! {
        <section class="settings" aria-labelledby="autoscaling">
            <h2 id="autoscaling">"Autoscaling"</h2>
            <p class="hint">
                "Whatever is promoted here scales by these settings. A change is in force at once, without a new deployment."
            </p>
            <ScalingForm post=update owner=owner settings=settings refused=refused />
        </section>
    }
}

/// What serves here now, while no rollout says it better.
#[component]
fn Current(page: Page, model_id: String) -> impl IntoView {
    let current = Memo::new(move |_| {
        page.with(|page| match &page.rollout {
            Some(rollout) if rollout.running => None,
            _ => page.current.clone(),
        })
    });
    move || {
        current.get().map(|served| {
            let path = deployment_path(&model_id, &served.deployment.id);
            view! {
                <div class="side-line">
                    <A href=path>{served.deployment.name}</A>
                    <StatusBadge status=served.status />
                    <span class="sentence">{served.sentence}</span>
                    <ReplicaDots replicas=served.replicas />
                </div>
            }
        })
    }
}

#[component]
fn RolloutView(page: Page, model_id: String, name: String) -> impl IntoView {
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let now = use_now();
    let rollout = Memo::new(move |before: Option<&Option<Rollout>>| {
        page.with(|page| page.rollout.clone()).or(before.cloned().flatten())
    });
    rollout.get_untracked().map(|first| {
        let rollout = Signal::derive(move || rollout.get().unwrap_or_else(|| first.clone()));
        let running = Memo::new(move |_| rollout.with(|rollout| rollout.running));
        let canary = Memo::new(move |_| rollout.with(|rollout| rollout.canary));
        let decisions = Memo::new(move |_| rollout.with(|rollout| rollout.decisions.clone()));
        let started =
            Memo::new(move |_| rollout.with(|rollout| (rollout.started_at, rollout.started_by.clone())));
        let ended = Memo::new(move |_| rollout.with(|rollout| rollout.ended_at));
        // The reader's own clock is unknown to the server, so the first paint leaves it out.
        let finish = move || {
            let at = rollout.with(|rollout| rollout.finishes_at)?;
            (now.get(domain::Timestamp::default()) > domain::Timestamp::default())
                .then(|| format!(". Done at {} if nothing holds it.", local_time(at)))
        };
        view! {
            <section class="rollout" class:running=running aria-labelledby="rollout">
                <header>
                    <h2 id="rollout">{move || if running.get() { "Rollout" } else { "Last rollout" }}</h2>
                    <span class="phase" data-phase=move || rollout.with(|rollout| rollout.phase.as_str())>
                        {move || phase_word(rollout.with(|rollout| rollout.phase))}
                    </span>
                    <p class="by">
                        {move || {
                            let (at, by) = started.get();
                            view! {
                                "started " <TimeAgo at=at as_of=as_of /> {by.map(|by| format!(" by {by}"))}
                                {ended.get().map(|at| view! { ", ended " <TimeAgo at=at as_of=as_of /> })}
                            }
                        }}
                    </p>
                </header>
                <p class="rollout-sentence" role="status">
                    <Sentence text=Signal::derive(move || rollout.with(|rollout| rollout.sentence.clone())) />
                    {finish}
                </p>
                {move || canary.get().then(|| view! { <Ladder rollout=rollout as_of=as_of /> })}
                <ReplicasMoved rollout=rollout />
                <RolloutButtons page=page running=running model_id=model_id.clone() name=name />
                <SidesTable rollout=rollout model_id=model_id />
                <h3>"Decisions"</h3>
                <Decisions decisions=decisions />
            </section>
        }
    })
}

#[component]
fn Decisions(decisions: Memo<Vec<Decision>>) -> impl IntoView {
    move || {
        let list = decisions.get();
        if list.is_empty() {
            return view! { <p class="none">"No decision yet."</p> }.erased();
        }
        let items = list
            .into_iter()
            .map(|decision| {
                view! {
                    <li>
                        <time datetime=machine(decision.at) title=absolute(decision.at)>
                            {time_of_day(decision.at)}
                        </time>
                        <span>
                            <Sentence text=decision.sentence />
                            {decision.by.map(|by| view! { <span class="by">" by " {by}</span> })}
                        </span>
                    </li>
                }
            })
            .collect_view();
        view! {
            <ol class="decisions" aria-label="Decisions, newest first">
                {items}
            </ol>
        }
        .erased()
    }
}

#[component]
fn Settings(page: Page, model_id: String, name: String) -> impl IntoView {
    let update = Post::to::<UpdatePromotionSettings>();
    when_done(update, || ());
    // As they were when the page came: a half-changed form survives every update around it.
    let PromotionSettings {
        redeploy_on_promotion,
        promotion_cleanup_strategy,
        ramp_up_while_promoting,
        ramp_up_duration_seconds,
        stop_on_errors,
        rolling_deploy,
        rolling_deploy_config,
        ..
    } = page.with_untracked(|page| page.settings.clone());
    let refused = Memo::new(move |_| page.with(|page| page.may_change_settings.reason().map(str::to_owned)));
    let option = move |value: CleanupStrategy, key: &'static str, label: &'static str| {
        view! {
            <option value=key selected=value == promotion_cleanup_strategy>
                {label}
            </option>
        }
    };
    view! {
        <section class="settings" aria-labelledby="settings">
            <h2 id="settings">"How promotions go here"</h2>
            <PostForm post=update>
                <input type="hidden" name="model_id" value=model_id />
                <input type="hidden" name="environment" value=name />
                <label class="check">
                    <input
                        type="checkbox"
                        name="ramp_up_while_promoting"
                        value="true"
                        checked=ramp_up_while_promoting
                    />
                    <span>"Canary: move traffic in ten stages"</span>
                </label>
                <RollingFields on=rolling_deploy config=rolling_deploy_config.unwrap_or_default() />
                <div class="pair">
                    <label class="field">
                        <span>"Length of the canary"</span>
                        <input
                            name="ramp_up_duration"
                            value=write_window(ramp_up_duration_seconds)
                            required
                            autocomplete="off"
                            spellcheck="false"
                        />
                    </label>
                    <label class="field">
                        <span>"Afterwards the previous deployment"</span>
                        <select name="promotion_cleanup_strategy">
                            {option(CleanupStrategy::ScaleToZero, "SCALE_TO_ZERO", "scales to zero")}
                            {option(CleanupStrategy::Keep, "KEEP", "keeps its replicas")}
                            {option(CleanupStrategy::Deactivate, "DEACTIVATE", "is deactivated")}
                        </select>
                    </label>
                </div>
                <label class="check">
                    <input type="checkbox" name="stop_on_errors" value="true" checked=stop_on_errors />
                    <span>"Stop a rollout whose candidate fails more than the current deployment"</span>
                </label>
                <label class="check">
                    <input type="checkbox" name="redeploy_on_promotion" value="true" checked=redeploy_on_promotion />
                    <span>"Start a fresh copy on each promotion"</span>
                </label>
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
    }
}

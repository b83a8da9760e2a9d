//! Promote: from what to what, how, and what it will look like, before the click.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use domain::{CleanupStrategy, Timestamp};
use leptos::prelude::*;

use super::dialog::{DialogButtons, Modal};
use super::{FormError, when_done};
use crate::clock::{length, use_now};
use crate::server_fns::Promote;
use crate::view::{PromoteChoices, PromoteTarget};
use crate::window::{ladder, parse_window, write_window};

#[component]
pub fn PromoteDialog(
    model_id: String,
    choices: PromoteChoices,
    deployment: Option<String>,
    environment: Option<String>,
) -> impl IntoView {
    let promote = Post::to::<Promote>();
    let PromoteChoices { deployments, targets } = choices;
    let first_target = environment
        .filter(|name| targets.iter().any(|target| target.environment == *name))
        .or_else(|| {
            targets.iter().find(|target| target.permit.is_allowed()).map(|target| target.environment.clone())
        })
        .or_else(|| targets.first().map(|target| target.environment.clone()))
        .unwrap_or_default();
    let first_deployment = deployment
        .filter(|id| deployments.iter().any(|deployment| deployment.id == *id))
        .or_else(|| deployments.first().map(|deployment| deployment.id.clone()))
        .unwrap_or_default();

    let targets = StoredValue::new(targets);
    let deployments = StoredValue::new(deployments);
    let environment = RwSignal::new(first_target);
    let deployment = RwSignal::new(first_deployment);
    let target = Memo::new(move |_| {
        environment.with(|name| {
            targets.with_value(|list| list.iter().find(|target| target.environment == *name).cloned())
        })
    });
    // What the environment would do, until the person says otherwise.
    let ways = move || {
        target.get_untracked().map_or(("direct", 600), |target| {
            let way = match (target.rolling, target.canary) {
                (true, _) => "rolling",
                (false, true) => "canary",
                (false, false) => "direct",
            };
            (way, target.window_seconds)
        })
    };
    let (first_way, seconds) = ways();
    let strategy = RwSignal::new(first_way.to_owned());
    let window = RwSignal::new(write_window(seconds.max(10)));
    let choose_environment = move |event| {
        environment.set(event_target_value(&event));
        let (way, seconds) = ways();
        strategy.set(way.into());
        window.set(write_window(seconds.max(10)));
    };
    let is_canary = move || strategy.with(|strategy| strategy == "canary");
    let act = Signal::derive(move || {
        let name = environment.get();
        if is_canary() { format!("Start canary to {name}") } else { format!("Promote to {name}") }
    });
    let refused =
        Memo::new(move |_| target.get().and_then(|target| target.permit.reason().map(str::to_owned)));
    let blocked = Signal::derive(move || {
        refused.with(Option::is_some) || is_canary() && parse_window(&window.get()).is_err()
    });

    // The reserved name says which one it is.
    let of_development = move || {
        let id = deployment.get();
        deployments
            .with_value(|list| list.iter().any(|choice| choice.id == id && choice.name == "development"))
    };

    // Only where it would get another instance type there is something to choose.
    let theirs = move || {
        let id = deployment.get();
        target.with(|target| {
            let target = target.as_ref().filter(|target| target.resized.contains(&id))?;
            target.instance_type.clone()
        })
    };

    view! {
        <Modal
            title="Promote".into()
            children=Box::new(move |handle| {
                when_done(promote, move || handle.close());
                let deployment_options = deployments
                    .with_value(|list| {
                        list.iter()
                            .map(|choice| {
                                let id = choice.id.clone();
                                let selected = id == deployment.get_untracked();
                                view! {
                                    <option value=id selected=selected>
                                        {choice.name.clone()}
                                    </option>
                                }
                            })
                            .collect_view()
                    });
                let environment_options = targets
                    .with_value(|list| {
                        list.iter()
                            .map(|target| {
                                let name = target.environment.clone();
                                let selected = name == environment.get_untracked();
                                view! {
                                    <option value=name.clone() selected=selected>
                                        {name.clone()}
                                    </option>
                                }
                            })
                            .collect_view()
                    });
                view! {
                    <PostForm post=promote>
                        <input type="hidden" name="model_id" value=model_id />
                        <div class="pair">
                            <label class="field">
                                <span>"Deployment"</span>
                                <select
                                    name="deployment_id"
                                    on:change=move |event| deployment.set(event_target_value(&event))
                                >
                                    {deployment_options}
                                </select>
                            </label>
                            <label class="field">
                                <span>"Environment"</span>
                                <select name="environment" on:change=choose_environment autofocus>
                                    {environment_options}
                                </select>
                            </label>
                        </div>
                        <Change
                            target=target
                            deployment=Signal::derive(move || {
                                let id = deployment.get();
                                deployments
                                    .with_value(|list| {
                                        list.iter()
                                            .find(|choice| choice.id == id)
                                            .map(|choice| choice.name.clone())
                                    })
                                    .unwrap_or_default()
                            })
                        />
                        {move || of_development().then(|| view! {
                            <p class="hint">
                                "A copy of it as it is now is promoted. development stays, and later edits never reach the copy. To have a deployment without an environment, choose Publish in its menu."
                            </p>
                        })}
                        {move || theirs().map(|theirs| view! {
                            <label class="check">
                                <input
                                    type="checkbox"
                                    name="keep_own_instance_type"
                                    value="true"
                                    aria-describedby="type-hint"
                                />
                                <span>"Keep its own instance type, which is then the environment's"</span>
                            </label>
                            <p class="hint" id="type-hint">
                                "Otherwise it gets " {theirs} ", the environment's, unless that has less than it asks for."
                            </p>
                        })}
                        <div class="pair">
                            <label class="field">
                                <span>"Strategy"</span>
                                <select
                                    name="strategy"
                                    prop:value=strategy
                                    on:change=move |event| strategy.set(event_target_value(&event))
                                >
                                    <option value="direct" selected=first_way == "direct">
                                        "Direct: all traffic at once"
                                    </option>
                                    <option value="canary" selected=first_way == "canary">
                                        "Canary: ten stages"
                                    </option>
                                    <option value="rolling" selected=first_way == "rolling">
                                        "Rolling: replica by replica"
                                    </option>
                                </select>
                            </label>
                            <label class="field" class:dimmed=move || !is_canary()>
                                <span>"Window"</span>
                                <input
                                    name="window"
                                    value=window.get_untracked()
                                    bind:value=window
                                    autocomplete="off"
                                    spellcheck="false"
                                    aria-describedby="window-hint"
                                />
                            </label>
                        </div>
                        <p class="hint" id="window-hint">
                            "The window is the time of all ten stages together: 10m, 90s, 1h. Only a canary has one."
                        </p>
                        <Preview strategy=strategy window=window />
                        {move || {
                            refused.get().map(|reason| view! { <p class="notice warn">{reason}</p> })
                        }}
                        <FormError post=promote />
                        <DialogButtons act=act pending=promote.pending blocked=blocked />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

/// From what to what, and what becomes of what served before.
#[component]
fn Change(target: Memo<Option<PromoteTarget>>, deployment: Signal<String>) -> impl IntoView {
    move || {
        target.get().map(|target| {
            let after = match (&target.serving, target.cleanup) {
                (None, _) => "It is the first deployment there.".to_owned(),
                (Some(name), CleanupStrategy::Keep) => format!("Afterwards {name} keeps its replicas."),
                (Some(name), CleanupStrategy::ScaleToZero) => {
                    format!("Afterwards {name} scales to zero; it can be promoted back at any time.")
                }
                (Some(name), CleanupStrategy::Deactivate) => {
                    format!("Afterwards {name} is deactivated; promoting it again activates it.")
                }
            };
            let class = if target.serving.is_some() { "from" } else { "from none" };
            let serving = target.serving.clone().unwrap_or_else(|| "nothing yet".into());
            view! {
                <p class="change">
                    <span class=class>{serving}</span>
                    <span>" → "</span>
                    <span class="to">{deployment}</span>
                </p>
                <p class="hint">{after}</p>
            }
        })
    }
}

/// The ladder as it will be: computed here, by the same function that reads the window on the server.
#[component]
fn Preview(strategy: RwSignal<String>, window: RwSignal<String>) -> impl IntoView {
    let now = use_now();
    move || {
        if strategy.with(|strategy| strategy == "rolling") {
            return view! {
                <p class="preview-note">
                    "Replicas are replaced step by step, as the environment's settings say, and traffic follows those that are ready. How long that takes depends on how fast they start. You can pause, cancel, or roll it forward."
                </p>
            }
            .erased();
        }
        if strategy.with(|strategy| strategy != "canary") {
            return view! {
                <p class="preview-note">
                    "All traffic moves at once, when the new deployment has as many ready replicas as the environment's minimum."
                </p>
            }
            .erased();
        }
        let seconds = match parse_window(&window.get()) {
            Ok(seconds) => seconds,
            Err(error) => return view! { <p class="form-error">"Window: " {error.problem}</p> }.erased(),
        };
        let rungs = ladder(seconds)
            .map(|(percent, at)| {
                view! {
                    <li>
                        <span class="share">{percent} " %"</span>
                        <span class="at">"+" {length(at as i64)}</span>
                    </li>
                }
            })
            .collect_view();
        let step = length(i64::from(seconds) * 100);
        let whole = length(i64::from(seconds) * 1000);
        let finish = {
            let here = now.get(Timestamp::default());
            (here > Timestamp::default()).then(|| {
                let done = here.plus(i64::from(seconds) * 1000);
                format!(
                    " If the candidate were ready now, it would be done at {}.",
                    crate::clock::local_time(done)
                )
            })
        };
        view! {
            <ol class="preview" aria-label="Planned stages">
                {rungs}
            </ol>
            <p class="preview-note">
                {format!(
                    "Ten stages, {step} each; done {whole} after the candidate has the replicas it needs. \
                     You can cancel until then, and all traffic goes back at once.",
                )} {finish}
            </p>
        }
        .erased()
    }
}

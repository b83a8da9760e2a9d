//! The replicas of one deployment: state, age, what they use, and the way to end one.

use domain::{ReplicaState, Timestamp};
use gloo_timers::callback::Interval;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::dialog::{DialogButtons, Modal};
use super::{DialogButton, DialogKind, FormError, when_done};
use crate::clock::{absolute, machine, span, use_now};
use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, decode};
use crate::server_fns::TerminateReplica;
use crate::view::{DeploymentRef, ReplicaRow, ReplicasNow};

/// How often what they use is asked for while somebody looks.
const EVERY_MS: u32 = 2000;

#[component]
pub fn Copies(
    model_id: String,
    deployment_id: String,
    /// As the page knows them.
    #[prop(into)]
    copies: Signal<Vec<ReplicaRow>>,
    #[prop(into)] as_of: Signal<Timestamp>,
    /// Why none runs, when none does.
    #[prop(into)]
    otherwise: Signal<String>,
) -> impl IntoView {
    let now = RwSignal::new(copies.get_untracked());
    Effect::new(move |before: Option<()>| {
        let copies = copies.get();
        if before.is_some() {
            now.set(copies);
        }
    });
    if cfg!(feature = "hydrate") {
        follow(model_id, deployment_id, now);
    }
    let ids =
        Memo::new(move |_| now.with(|list| list.iter().map(|copy| copy.id.clone()).collect::<Vec<_>>()));
    view! {
        {move || {
            ids.with(Vec::is_empty).then(|| view! { <p class="none">"No replica runs: " {otherwise} "."</p> })
        }}
        <div class="scroll" class:hidden=move || ids.with(Vec::is_empty) tabindex="0" role="region" aria-label="Replicas">
            <table>
                <caption class="hidden">"Replicas"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Replica"</th>
                        <th scope="col">"State"</th>
                        <th scope="col">"Up for"</th>
                        <th scope="col">"Ready after"</th>
                        <th scope="col" class="number">"Memory"</th>
                        <th scope="col" class="number">"CPU"</th>
                        <th scope="col" class="number">"In flight"</th>
                        <th scope="col" class="number">"Process"</th>
                        <th scope="col">
                            <span class="hidden">"Actions"</span>
                        </th>
                    </tr>
                </thead>
                <tbody>
                    <For each=move || ids.get() key=String::clone let(id)>
                        <Row now=now id=id as_of=as_of />
                    </For>
                </tbody>
            </table>
        </div>
    }
}

/// Asks for the replicas again and again while the page is looked at; nobody asks when nobody looks.
fn follow(model_id: String, deployment_id: String, now: RwSignal<Vec<ReplicaRow>>) {
    let timer = StoredValue::new_local(None::<Interval>);
    let busy = StoredValue::new(false);
    Effect::new(move || {
        let (model_id, deployment_id) = (model_id.clone(), deployment_id.clone());
        timer.set_value(Some(Interval::new(EVERY_MS, move || {
            if document().hidden() || busy.try_get_value() != Some(false) {
                return;
            }
            busy.set_value(true);
            let (model_id, deployment_id) = (model_id.clone(), deployment_id.clone());
            spawn_local(async move {
                if let Ok(text) = read::replicas(model_id, deployment_id).await
                    && let Ok(answer) = decode::<ReplicasNow>(&text)
                {
                    now.try_set(answer.copies);
                }
                busy.try_set_value(false);
            });
        })));
    });
    on_cleanup(move || {
        timer.try_set_value(None);
    });
}

/// One row for as long as the replica is there: only what is in it moves.
#[component]
fn Row(now: RwSignal<Vec<ReplicaRow>>, id: String, as_of: Signal<Timestamp>) -> impl IntoView {
    let key = id.clone();
    let row = Memo::new(move |before: Option<&Option<ReplicaRow>>| {
        now.with(|list| list.iter().find(|copy| copy.id == key).cloned()).or(before.cloned().flatten())
    });
    let pick = move |get: fn(&ReplicaRow) -> String| {
        move || row.with(|row| row.as_ref().map(get).unwrap_or_default())
    };
    let standing = Memo::new(move |_| row.with(|row| row.as_ref().map(|row| word(&row.state))));
    let started = row.with_untracked(|row| row.as_ref().map(|row| row.started_at).unwrap_or_default());
    let refused = Signal::derive(move || row.with(|row| row.as_ref()?.terminate.reason().map(str::to_owned)));
    let clock = use_now();
    view! {
        <tr aria-label=id.clone()>
            <th scope="row">
                <code>{id.clone()}</code>
            </th>
            <td>
                <span class="status" data-tone=move || standing.get().map(|(tone, _)| tone)>
                    {move || standing.get().map(|(_, word)| word)}
                </span>
            </td>
            <td>
                <time datetime=machine(started) title=format!("started {}", absolute(started))>
                    {move || span(clock.get(as_of.get()).since(started))}
                </time>
            </td>
            <td>{pick(ready_after)}</td>
            <td class="number">{pick(|row| row.memory.map_or("–".into(), bytes))}</td>
            <td class="number">
                {pick(|row| row.cpu_percent.map_or("–".into(), |percent| format!("{percent:.0} %")))}
            </td>
            <td class="number">{pick(|row| number(row.in_flight))}</td>
            <td class="number">{pick(|row| number(row.pid))}</td>
            <td>
                <DialogButton
                    kind=DialogKind::Terminate
                    label=format!("Terminate {id}")
                    replica=id.clone()
                    class="plain small"
                    refused=refused
                >
                    "Terminate…"
                </DialogButton>
            </td>
        </tr>
    }
}

/// Tone and word of a state.
fn word(state: &ReplicaState) -> (&'static str, String) {
    match state {
        ReplicaState::Starting => ("busy", "Starting".to_owned()),
        ReplicaState::Loading => ("busy", "Loading the model".to_owned()),
        ReplicaState::Ready => ("ok", "Ready".to_owned()),
        ReplicaState::Unready => ("warn", "Not answering".to_owned()),
        ReplicaState::Stopping => ("off", "Stopping".to_owned()),
        ReplicaState::Exited { reason, .. } => ("bad", reason.clone()),
    }
}

fn ready_after(row: &ReplicaRow) -> String {
    let took = |at: Timestamp| format!("{:.1} s", at.since(row.started_at) as f64 / 1000.0);
    row.ready_at.map_or("–".to_owned(), took)
}

fn number(value: Option<u32>) -> String {
    value.map_or("–".to_owned(), |value| value.to_string())
}

/// Bytes in the unit that people compare: `312 MiB`, `1.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    const MIB: f64 = 1_048_576.0;
    let mib = bytes as f64 / MIB;
    match mib {
        mib if mib >= 1024.0 => format!("{:.1} GiB", mib / 1024.0),
        mib if mib >= 10.0 => format!("{mib:.0} MiB"),
        mib => format!("{mib:.1} MiB"),
    }
}

#[component]
pub fn TerminateDialog(
    model_id: String,
    deployment: DeploymentRef,
    replica: String,
    /// Whether it is the only one that is ready.
    alone: bool,
) -> impl IntoView {
    let terminate = Post::to::<TerminateReplica>();
    view! {
        <Modal
            title=format!("Terminate replica {replica}")
            destructive=true
            children=Box::new(move |handle| {
                when_done(terminate, move || handle.close());
                view! {
                    <PostForm post=terminate>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <input type="hidden" name="replica_id" value=replica.clone() />
                        <p>
                            "Replica " <strong>{replica}</strong> " of " <strong>{deployment.name}</strong>
                            " gets no new request, finishes those it has, for 30 seconds at most, and stops. Another one starts in its place."
                        </p>
                        {alone
                            .then(|| {
                                view! {
                                    <p class="notice warn">
                                        "It is the only one that is ready: requests wait until the new one is."
                                    </p>
                                }
                            })}
                        <p class="notice">
                            "To run fewer replicas, change " <strong>"Autoscaling"</strong>
                            " below; to run none, deactivate the deployment."
                        </p>
                        <FormError post=terminate />
                        <DialogButtons act="Terminate" pending=terminate.pending destructive=true />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_its_unit() {
        assert_eq!(bytes(1_572_864), "1.5 MiB");
        assert_eq!(bytes(327_155_712), "312 MiB");
        assert_eq!(bytes(1_503_238_553), "1.4 GiB");
    }
}

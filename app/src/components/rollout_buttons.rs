//! What may be asked of a running promotion: cancel, pause or resume, roll forward.

use domain::Phase;
use leptos::prelude::*;

use super::dialog::{DialogButtons, Modal};
use super::{DialogButton, DialogKind, FormError, when_done};
use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::server_fns::{
    CancelPromotion, ForceCancelPromotion, ForceRollForwardPromotion, PausePromotion, ResumePromotion,
};
use crate::view::{EnvironmentPage, Permit, RolloutControls};

/// The way back is the largest button of the page while there is one.
#[component]
pub fn RolloutButtons(
    page: RwSignal<EnvironmentPage>,
    running: Memo<bool>,
    model_id: String,
    name: String,
) -> impl IntoView {
    let (cancel, pause) = (Post::to::<CancelPromotion>(), Post::to::<PausePromotion>());
    let resume = Post::to::<ResumePromotion>();
    when_done(cancel, || ());
    when_done(pause, || ());
    when_done(resume, || ());
    let refused = move |pick: fn(&RolloutControls) -> &Permit| {
        Memo::new(move |_| page.with(|page| pick(&page.controls).reason().map(str::to_owned)))
    };
    let (no_cancel, no_pause) = (refused(|may| &may.cancel), refused(|may| &may.pause));
    let (no_resume, no_forward) = (refused(|may| &may.resume), refused(|may| &may.roll_forward));
    let paused = Memo::new(move |_| {
        page.with(|page| page.rollout.as_ref().is_some_and(|rollout| rollout.phase == Phase::Paused))
    });
    let label = Memo::new(move |_| {
        page.with(|page| match &page.rollout {
            Some(rollout) if !rollout.canary => "Cancel promotion",
            _ => "Cancel canary",
        })
    });
    let rolling = Memo::new(move |_| {
        page.with(|page| page.rollout.as_ref().is_some_and(|rollout| rollout.moved.is_some()))
    });
    let hint = move || match (no_cancel.get(), rolling.get()) {
        (Some(why), _) => why,
        (None, true) => {
            "Moves traffic back to the current deployment, step by step as its replicas become ready.".into()
        }
        (None, false) => "Sends all traffic back to the current deployment, at once.".into(),
    };
    let no_force = refused(|may| &may.force_cancel);
    let hint_force = move || match no_force.get() {
        Some(why) => why,
        None => "Sends back at once what the current deployment carries, and the rest as its replicas start."
            .into(),
    };
    let force_cancel = Post::to::<ForceCancelPromotion>();
    when_done(force_cancel, || ());
    let hint_pause = move || match (paused.get(), no_pause.get(), no_resume.get()) {
        (true, _, Some(why)) | (false, Some(why), _) => why,
        (true, _, None) => "Goes on where it stopped.".into(),
        (false, None, _) => "The split stays as it is and no time counts; both sides go on scaling.".into(),
    };
    let hint_forward = move || match no_forward.get() {
        Some(why) => why,
        None => "Sends all traffic to the candidate, whatever steps are left.".into(),
    };
    let ids = StoredValue::new((model_id, name));
    let hidden = move || {
        let (model_id, name) = ids.get_value();
        view! {
            <input type="hidden" name="model_id" value=model_id />
            <input type="hidden" name="environment" value=name />
        }
    };
    let control =
        move |post: Post, refused: Memo<Option<String>>, hint: &'static str, label: &'static str| {
            view! {
                <PostForm post=post class="control">
                    {hidden()}
                    <button
                        type="submit"
                        class="plain"
                        aria-describedby=hint
                        disabled=move || post.pending.get() || refused.with(Option::is_some)
                    >
                        {label}
                    </button>
                </PostForm>
            }
            .erased()
        };
    let pause_or_resume = move || match paused.get() {
        true => control(resume, no_resume, "pause-hint", "Resume"),
        false => control(pause, no_pause, "pause-hint", "Pause"),
    };
    view! {
        {move || {
            running
                .get()
                .then(|| {
                    let environment = ids.with_value(|(_, name)| name.clone());
                    view! {
                        <PostForm post=cancel class="cancel">
                            {hidden()}
                            <button
                                type="submit"
                                class="danger large"
                                disabled=move || cancel.pending.get() || no_cancel.with(Option::is_some)
                            >
                                {move || if cancel.pending.get() { "Cancelling…" } else { label.get() }}
                            </button>
                            <p class="hint">{hint}</p>
                        </PostForm>
                        <div class="controls" role="group" aria-label="Controls of the rollout">
                            {pause_or_resume}
                            <p class="hint" id="pause-hint">{hint_pause}</p>
                            <DialogButton
                                kind=DialogKind::RollForward
                                environment=environment
                                class="plain"
                                refused=no_forward
                                described_by="forward-hint"
                            >
                                "Roll forward…"
                            </DialogButton>
                            <p class="hint" id="forward-hint">{hint_forward}</p>
                            {move || {
                                rolling
                                    .get()
                                    .then(|| {
                                        view! {
                                            {control(force_cancel, no_force, "force-hint", "Cancel at once")}
                                            <p class="hint" id="force-hint">{hint_force}</p>
                                        }
                                    })
                            }}
                        </div>
                    }
                })
        }}
        <FormError post=cancel />
        <FormError post=pause />
        <FormError post=resume />
        <FormError post=force_cancel />
    }
}

#[component]
pub fn RollForwardDialog(
    model_id: String,
    name: String,
    /// The name of what serves until then.
    serving: Option<String>,
    candidate: String,
    /// The candidate's share now.
    percent: u8,
) -> impl IntoView {
    let forward = Post::to::<ForceRollForwardPromotion>();
    view! {
        <Modal
            title=format!("Roll {name} forward")
            destructive=true
            children=Box::new(move |handle| {
                when_done(forward, move || handle.close());
                let ends = serving
                    .map(|serving| {
                        format!(
                            " The promotion ends with that, so it can't be canceled any more: the way back is to promote {serving} again.",
                        )
                    });
                view! {
                    <PostForm post=forward>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="environment" value=name.clone() />
                        <p>
                            <strong>{candidate}</strong>
                            {format!(
                                " has {percent} % of {name} and takes all of it as soon as its ready replicas carry it; the steps that are left are skipped, and errors don't stop it.",
                            )}
                            {ends}
                        </p>
                        <p class="notice">
                            "Left alone, it takes over by itself, step by step. " <strong>"Pause"</strong>
                            " keeps the split for as long as you want to look."
                        </p>
                        <FormError post=forward />
                        <DialogButtons act="Roll forward" pending=forward.pending destructive=true />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

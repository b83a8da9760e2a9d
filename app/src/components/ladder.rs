//! The ladder: ten rungs from 10 to 100 %, done, now, to come. The page of a rollout is this.

use crate::erase::Erase;
use domain::Timestamp;
use leptos::prelude::*;

use super::Countdown;
use crate::clock::{absolute, machine, time_of_day};
use crate::view::{Rollout, Rung, RungState};

#[component]
pub fn Ladder(
    #[prop(into)] rollout: Signal<Rollout>,
    #[prop(into)] as_of: Signal<Timestamp>,
) -> impl IntoView {
    let rungs = Memo::new(move |_| rollout.with(Rollout::rungs));
    let next = Memo::new(move |_| rollout.with(|rollout| rollout.next_stage_at));
    // Ten rungs for good: only what is on them moves.
    let rung = move |index: usize| {
        let rung = Memo::new(move |_| rungs.with(|rungs| rungs[index].clone()));
        let is_now = move || rung.with(|rung| rung.state == RungState::Now);
        let class = move || match rung.with(|rung| rung.state) {
            RungState::Done => "rung done",
            RungState::Now => "rung now",
            RungState::ToCome => "rung to-come",
            RungState::Skipped => "rung skipped",
        };
        let note = move || match next.get().filter(|_| is_now()) {
            Some(until) => view! {
                <span class="note">
                    <span class="words">"next in "</span>
                    <Countdown until=until as_of=as_of />
                </span>
            }
            .erased(),
            None => rung.with(note).erased(),
        };
        view! {
            <li class=class aria-current=move || is_now().then_some("step")>
                <span class="bar" aria-hidden="true"></span>
                <span class="share">{(index + 1) * 10} " %"</span>
                {note}
            </li>
        }
    };
    view! {
        <ol class="ladder" aria-label="Canary stages">
            {(0..10).map(rung).collect_view()}
        </ol>
    }
}

/// What a rung without a countdown says.
fn note(rung: &Rung) -> AnyView {
    match (rung.state, rung.reached_at) {
        (RungState::Done | RungState::Now, Some(at)) => view! {
            <span class="note">
                <time datetime=machine(at) title=absolute(at)>
                    {time_of_day(at)}
                </time>
            </span>
        }
        .erased(),
        (RungState::Done, None) => view! { <span class="note">"done"</span> }.erased(),
        (RungState::Now, None) => view! { <span class="note">"now"</span> }.erased(),
        (RungState::ToCome, _) => view! { <span class="note unlit">"to come"</span> }.erased(),
        (RungState::Skipped, _) => view! { <span class="note unlit">"not reached"</span> }.erased(),
    }
}

use leptos::prelude::*;

use crate::view::Replicas;

/// As many dots as fit a glance; beyond that only the number speaks.
const MOST_DOTS: u32 = 10;

/// Replicas as dots: filled is ready, half is starting, hollow is wanted and missing.
#[component]
pub fn ReplicaDots(
    replicas: Replicas,
    /// Drawn in the candidate's colour.
    #[prop(optional)]
    candidate: bool,
) -> impl IntoView {
    let Replicas { ready, starting, wanted } = replicas;
    let all = wanted.max(ready + starting);
    let dots = (all <= MOST_DOTS).then(|| {
        (0..all)
            .map(|index| {
                let class = if index < ready {
                    "dot ready"
                } else if index < ready + starting {
                    "dot starting"
                } else {
                    "dot missing"
                };
                view! { <span class=class></span> }
            })
            .collect_view()
    });
    let words = match (wanted, starting) {
        (0, 0) if ready == 0 => "no replicas".to_owned(),
        (_, 0) => format!("{ready} of {wanted} ready"),
        _ => format!("{ready} of {wanted} ready, {starting} starting"),
    };
    view! {
        <span class="replicas" class:candidate=candidate>
            <span class="dots" aria-hidden="true">
                {dots}
            </span>
            <span class="count">{words}</span>
        </span>
    }
}

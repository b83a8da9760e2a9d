//! Rolling promotions: how far one is, and the settings of those to come.

use domain::RollingConfig;
use leptos::prelude::*;

use crate::view::Rollout;

/// How many replicas have moved, in words and as a bar; nothing for other promotions.
#[component]
pub fn ReplicasMoved(#[prop(into)] rollout: Signal<Rollout>) -> impl IntoView {
    let moved = Memo::new(move |_| rollout.with(|rollout| rollout.moved));
    move || {
        let (moved, total) = moved.get().filter(|(_, total)| *total > 0)?;
        Some(view! {
            <div class="moved">
                <progress value=moved max=total aria-label="Replicas moved"></progress>
                <p>{words(moved, total)}</p>
            </div>
        })
    }
}

fn words(moved: u32, total: u32) -> String {
    format!("{moved} of {total} {} moved", if total == 1 { "replica" } else { "replicas" })
}

/// The fields of the rolling strategy, for a form of promotion settings.
#[component]
pub fn RollingFields(on: bool, config: RollingConfig) -> impl IntoView {
    let number = |label: &'static str, name: &'static str, value: u32, max: u32| {
        view! {
            <label class="field">
                <span>{label}</span>
                <input type="number" name=name value=value min="0" max=max required aria-describedby="rolling-hint" />
            </label>
        }
    };
    view! {
        <label class="check">
            <input type="checkbox" name="rolling_deploy" value="true" checked=on />
            <span>"Rolling: replace replica by replica"</span>
        </label>
        <div class="pair">
            {number("Percent added first", "max_surge_percent", config.max_surge_percent, 50)}
            {number("Percent removed first", "max_unavailable_percent", config.max_unavailable_percent, 50)}
        </div>
        <div class="pair">
            {number("Seconds between steps", "stabilization_time_seconds", config.stabilization_time_seconds, 3600)}
            {number("Percent of extra replicas", "replica_overhead_percent", config.replica_overhead_percent, 500)}
        </div>
        <p class="hint" id="rolling-hint">
            "A step either adds replicas of the candidate first or removes some of the current deployment first, so one of the two is 0. Extra replicas of the current deployment are there while it goes on. With rolling and the canary both on, promotions are rolling."
        </p>
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_count_replicas() {
        assert_eq!(words(3, 8), "3 of 8 replicas moved");
        assert_eq!(words(0, 1), "0 of 1 replica moved");
    }
}

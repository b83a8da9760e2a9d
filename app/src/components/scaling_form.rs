//! Scaling settings as a form, with what they would do shown while one types.

use domain::{AutoscalingPatch, AutoscalingSettings, Invalid, Limit, preview};
use leptos::prelude::*;

use super::FormError;
use crate::erase::Erase;
use crate::post::{Post, PostForm};

/// Loads that the preview shows beside the reader's own.
const LOADS: [u32; 6] = [0, 1, 10, 25, 100, 500];

/// The fields as they are typed, in the order in which they are shown.
#[derive(Clone, Copy)]
struct Typed {
    min_replica: RwSignal<String>,
    max_replica: RwSignal<String>,
    autoscaling_window: RwSignal<String>,
    scale_down_delay: RwSignal<String>,
    max_scale_down_rate: RwSignal<String>,
    concurrency_target: RwSignal<String>,
    target_utilization_percentage: RwSignal<String>,
}

impl Typed {
    fn of(settings: &AutoscalingSettings) -> Self {
        let field = |value: u32| RwSignal::new(value.to_string());
        Self {
            min_replica: field(settings.min_replica),
            max_replica: field(settings.max_replica),
            autoscaling_window: field(settings.autoscaling_window),
            scale_down_delay: field(settings.scale_down_delay),
            max_scale_down_rate: field(settings.max_scale_down_rate),
            concurrency_target: field(settings.concurrency_target),
            target_utilization_percentage: field(settings.target_utilization_percentage),
        }
    }

    /// The settings that the fields say, judged as the server will judge them.
    fn settings(self) -> Result<AutoscalingSettings, Invalid> {
        let number = |name: &str, text: RwSignal<String>| {
            text.get().trim().parse::<i64>().map(Some).map_err(|_| not_whole(name))
        };
        AutoscalingSettings::default().patched(&AutoscalingPatch {
            min_replica: number("min_replica", self.min_replica)?,
            max_replica: number("max_replica", self.max_replica)?,
            autoscaling_window: number("autoscaling_window", self.autoscaling_window)?,
            scale_down_delay: number("scale_down_delay", self.scale_down_delay)?,
            max_scale_down_rate: number("max_scale_down_rate", self.max_scale_down_rate)?,
            concurrency_target: number("concurrency_target", self.concurrency_target)?,
            target_utilization_percentage: number(
                "target_utilization_percentage",
                self.target_utilization_percentage,
            )?,
        })
    }
}

/// One setting: its label, its range, and what it means.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    low: u32,
    high: u32,
    /// Fixed for a development deployment.
    published_only: bool,
}

const fn field(name: &'static str, label: &'static str, hint: &'static str, low: u32, high: u32) -> Field {
    Field { name, label, hint, low, high, published_only: false }
}

const FIELDS: [Field; 7] = [
    Field {
        published_only: true,
        ..field("min_replica", "Min replicas", "With 0 it sleeps when nobody calls", 0, 1000)
    },
    Field {
        published_only: true,
        ..field("max_replica", "Max replicas", "Never more, whatever the load", 1, 1000)
    },
    field("autoscaling_window", "Autoscaling window, s", "The load is averaged over this", 10, 3600),
    field("scale_down_delay", "Scale down delay, s", "Low load lasts this long first", 0, 3600),
    Field {
        published_only: true,
        ..field(
            "max_scale_down_rate",
            "Max scale down rate, %",
            "Removed in one step, at most, unless nothing comes",
            1,
            50,
        )
    },
    field("concurrency_target", "Concurrency target", "Requests one replica carries", 1, 1_000_000),
    field("target_utilization_percentage", "Target utilization, %", "Of that, what is aimed at", 1, 100),
];

/// What is said of a text that is no number.
fn not_whole(name: &str) -> Invalid {
    let (low, high) =
        FIELDS.iter().find(|field| field.name == name).map_or((0, 0), |field| (field.low, field.high));
    Invalid::new(name, format!("is not a whole number from {low} to {high}"))
}

/// The form; its hidden fields say whose settings they are.
#[component]
pub fn ScalingForm(
    post: Post,
    /// Name and value of what the settings belong to.
    owner: Vec<(&'static str, String)>,
    settings: AutoscalingSettings,
    /// Whether it is a development deployment's, which has one replica at most.
    #[prop(optional)]
    development: bool,
    /// Why the person may not change them.
    #[prop(into)]
    refused: Signal<Option<String>>,
) -> impl IntoView {
    let settings = match development {
        true => AutoscalingSettings { min_replica: 0, max_replica: 1, ..settings },
        false => settings,
    };
    let typed = Typed::of(&settings);
    let texts = [
        typed.min_replica,
        typed.max_replica,
        typed.autoscaling_window,
        typed.scale_down_delay,
        typed.max_scale_down_rate,
        typed.concurrency_target,
        typed.target_utilization_percentage,
    ];
    let fields = FIELDS
        .into_iter()
        .zip(texts)
        .filter(|(field, _)| !development || !field.published_only)
        .map(|(field, text)| view! { <Setting field=field text=text /> })
        .collect_view();
    let hidden = owner
        .into_iter()
        .map(|(name, value)| view! { <input type="hidden" name=name value=value /> })
        .collect_view();
    view! {
        <PostForm post=post>
            {hidden}
            <div class="fields">{fields}</div>
            <Outlook typed=typed />
            <FormError post=post />
            {move || refused.get().map(|why| view! { <p class="hint">{why}</p> })}
            <button
                type="submit"
                class="plain"
                disabled=move || post.pending.get() || refused.with(Option::is_some)
            >
                "Update"
            </button>
        </PostForm>
    }
}

#[component]
fn Setting(field: Field, text: RwSignal<String>) -> impl IntoView {
    let id = format!("scaling-{}", field.name);
    let hint = format!("{id}-hint");
    view! {
        <div class="field">
            <label for=id.clone()>{field.label}</label>
            <input
                type="number"
                id=id
                name=field.name
                min=field.low.to_string()
                max=field.high.to_string()
                required
                aria-describedby=hint.clone()
                // For those without JavaScript, whom `bind` gives nothing.
                value=text.get_untracked()
                bind:value=text
            />
            <p class="hint" id=hint>
                {field.hint}
            </p>
        </div>
    }
}

/// How many replicas a load comes to, by the function that the engine decides with.
#[component]
fn Outlook(typed: Typed) -> impl IntoView {
    let load = RwSignal::new("25".to_owned());
    let settings = Memo::new(move |_| typed.settings());
    let answer = move || {
        let settings = match settings.get() {
            Ok(settings) => settings,
            Err(invalid) => return view! { <span class="bad">{invalid.to_string()}</span> }.erased(),
        };
        match load.get().trim().parse::<u32>() {
            Ok(load) => sentence(load, &settings).erased(),
            Err(_) => view! { <span class="bad">"write a whole number of requests"</span> }.erased(),
        }
    };
    let replicas = move |load: u32| {
        settings.with(|settings| match settings {
            Ok(settings) => preview(load, settings).replicas.to_string(),
            Err(_) => "–".into(),
        })
    };
    view! {
        <div class="outlook">
            <p class="question">
                "At "
                // Without a name it is not part of the form.
                <input type="number" id="outlook-load" min="0" max="1000000" value=load.get_untracked() bind:value=load aria-label="Requests in flight" />
                " requests in flight: "
                <output for="outlook-load" aria-live="polite">
                    {answer}
                </output>
            </p>
            <table class="compact">
                <caption class="hidden">"Replicas that a steady load comes to"</caption>
                <thead>
                    <tr>
                        <th scope="row">"In flight"</th>
                        {LOADS.map(|load| view! { <th scope="col" class="number">{load}</th> }).collect_view()}
                    </tr>
                </thead>
                <tbody>
                    <tr>
                        <th scope="row">"Replicas"</th>
                        {LOADS
                            .map(|load| view! { <td class="number">{move || replicas(load)}</td> })
                            .collect_view()}
                    </tr>
                </tbody>
            </table>
        </div>
    }
}

fn sentence(load: u32, settings: &AutoscalingSettings) -> impl IntoView + use<> {
    let preview = preview(load, settings);
    let each =
        f64::from(settings.concurrency_target) * f64::from(settings.target_utilization_percentage) / 100.0;
    let count =
        if preview.replicas == 1 { "1 replica".to_owned() } else { format!("{} replicas", preview.replicas) };
    let why = match preview.limit {
        Limit::Maximum => format!("the most allowed; the load would need {}", preview.wanted),
        Limit::Minimum => format!("the least allowed; the load would need {}", preview.wanted),
        _ if load == 0 => "after the delay it sleeps, and the next request wakes it".to_owned(),
        _ => format!("{load} ÷ {each:.1} aimed at for each, rounded up"),
    };
    view! {
        <strong>{count}</strong>
        <span class="hint">" (" {why} ")"</span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::WholeNumber;

    #[test]
    fn a_field_has_the_range_that_the_server_has_and_says_it() {
        for field in FIELDS {
            let setting = WholeNumber::setting(field.name).unwrap();
            let range = (i64::from(field.low), i64::from(field.high));
            assert_eq!((setting.least, setting.most), range, "{}", field.name);
            assert_eq!(not_whole(field.name).to_string(), format!("{}: is not {setting}", field.name));
        }
    }
}

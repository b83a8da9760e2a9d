use leptos::prelude::*;

/// Traffic as one bar: the current side in blue, the candidate's share in canary yellow.
#[component]
pub fn TrafficBar(
    /// The candidate's share, 0 to 100; halves and tenths count.
    #[prop(into)]
    percent: Signal<f64>,
    /// What the bar says, for those who don't see it.
    #[prop(into)]
    label: Signal<String>,
) -> impl IntoView {
    let current = move || format!("{:.2}", 100.0 - percent.get().clamp(0.0, 100.0));
    let candidate = move || format!("{:.2}", percent.get().clamp(0.0, 100.0));
    // Shapes in a drawing rather than widths in a style: the page's policy permits no inline style.
    view! {
        <svg
            class="traffic"
            viewBox="0 0 100 10"
            preserveAspectRatio="none"
            role="img"
            aria-label=move || label.get()
        >
            <rect class="current" x="0" y="0" width=current height="10"></rect>
            <rect class="candidate" x=current y="0" width=candidate height="10"></rect>
        </svg>
    }
}

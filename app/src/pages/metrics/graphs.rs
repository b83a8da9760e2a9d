//! The graphs that the page has, and the drawing of those that are shown.

use leptos::prelude::*;

use super::arrange::Arrangement;
use crate::components::{LineChart, Lines};
use crate::view::{MetricPoint, MetricsPage};

const PERCENTILES: &[&str] = &["p50", "p90", "p95", "p99"];
const TOGETHER: &[&str] = &["all replicas"];

pub struct Graph {
    /// What a browser keeps it by: it stays when the title becomes another.
    pub name: &'static str,
    pub title: &'static str,
    unit: &'static str,
    lines: &'static [&'static str],
    /// What lines after those are called.
    more: fn(&MetricsPage) -> &[String],
    pick: fn(&MetricPoint) -> Option<Vec<f64>>,
}

/// All graphs, in the page's own order.
pub static GRAPHS: [Graph; 11] = [
    graph("requests", "Requests a second", "", &["2xx", "4xx", "5xx"], |point| point.rates.map(Vec::from)),
    graph("end-to-end", "End to end", " ms", PERCENTILES, |point| point.end_to_end.map(Vec::from)),
    graph("first-byte", "First byte", " ms", PERCENTILES, |point| point.first_byte.map(Vec::from)),
    graph("inference", "Inference", " ms", PERCENTILES, |point| point.inference.map(Vec::from)),
    graph("request-size", "Request size", " KiB", PERCENTILES, |point| point.request_sizes.map(Vec::from)),
    graph("response-size", "Response size", " KiB", PERCENTILES, |point| point.response_sizes.map(Vec::from)),
    graph("load", "Load", "", &["in flight", "waiting"], |point| point.load.map(Vec::from)),
    graph("replicas", "Replicas", "", &["wanted", "starting", "ready"], |point| {
        point.replicas.map(Vec::from)
    }),
    Graph {
        more: |page| &page.cores_of,
        ..graph("processor", "Processor", " cores", TOGETHER, |point| with_gaps(&point.cores))
    },
    Graph {
        more: |page| &page.memory_of,
        ..graph("memory", "Memory", " MiB", TOGETHER, |point| with_gaps(&point.memory))
    },
    graph("restarts", "Restarts", "", &["replicas that ended of themselves"], |point| {
        point.restarts.map(Vec::from)
    }),
];

const fn graph(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    lines: &'static [&'static str],
    pick: fn(&MetricPoint) -> Option<Vec<f64>>,
) -> Graph {
    Graph { name, title, unit, lines, more: |_| &[], pick }
}

fn with_gaps(values: &Option<Vec<Option<f64>>>) -> Option<Vec<f64>> {
    Some(values.as_ref()?.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// The graphs that a person wants to see; the others are not drawn at all.
#[component]
pub fn Graphs(page: RwSignal<MetricsPage>, arrangement: Arrangement) -> impl IntoView {
    let nothing = move || {
        arrangement.shown().is_empty().then(|| {
            view! {
                <div class="empty">
                    <h2>"Every graph is hidden"</h2>
                    <p class="none">
                        "Measuring goes on, and the numbers are in the table below. The graphs are hidden for this model, in this browser only."
                    </p>
                    <button type="button" class="plain" on:click=move |_| arrangement.show_all()>
                        "Show all graphs"
                    </button>
                </div>
            }
        })
    };
    view! {
        <section class="charts two" aria-label="Charts">
            <For each=move || arrangement.shown() key=|graph| *graph let(graph)>
                {GRAPHS.get(graph).map(|graph| chart(page, graph))}
            </For>
            {nothing}
        </section>
    }
}

fn chart(page: RwSignal<MetricsPage>, graph: &'static Graph) -> impl IntoView {
    let lines = Signal::derive(move || {
        page.with(|page| Lines {
            start: page.start,
            end: page.end,
            step: page.step,
            points: page.points.iter().map(|point| (point.at, (graph.pick)(point))).collect(),
            marks: page.marks.clone(),
        })
    });
    view! {
        <LineChart
            title=graph.title
            unit=graph.unit
            names=graph.lines
            more=Signal::derive(move || page.with(|page| (graph.more)(page).to_vec()))
            lines=lines
        />
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;

    #[test]
    fn every_graph_has_a_name_of_its_own_that_can_be_kept() {
        let names: Vec<&str> = GRAPHS.iter().map(|graph| graph.name).collect();
        for (place, name) in names.iter().enumerate() {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
            let mut layout = Layout::usual(names.len());
            layout.show(place, false);
            assert_eq!(Layout::parse(&layout.text(&names), &names), layout, "{name}");
        }
    }
}

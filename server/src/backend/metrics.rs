//! The page of metrics.

use app::backend::MetricsOf;
use app::error::AppError;
use app::view::{MetricMark, MetricsPage, PERIODS};
use control::MetricScope;
use domain::{Actor, Event, EventKind, ModelId};
use store::EventFilter;

use super::Dashboard;
use super::errors::told;
use super::pages::metric_lines;

/// Marks that a page shows at most: the newest ones.
const MOST_MARKS: u32 = 60;

impl Dashboard {
    pub(super) async fn read_metrics(
        &self,
        actor: &Actor,
        model: &ModelId,
        of: MetricsOf,
        period: &str,
    ) -> Result<MetricsPage, AppError> {
        let length = length_of(period)?;
        let now = self.api.clock.now();
        let named = match &of {
            MetricsOf::Deployment(id) => std::slice::from_ref(id),
            MetricsOf::Environment(_) | MetricsOf::Model => &[],
        };
        let picture = self.api.picture(actor, model, named).await.map_err(told)?;
        let (scope, id, name) = match &of {
            MetricsOf::Deployment(id) => ("deployments", id.to_string(), picture.name(id)),
            MetricsOf::Environment(name) => ("environments", name.to_string(), name.to_string()),
            MetricsOf::Model => ("models", model.to_string(), picture.model.name.to_string()),
        };
        let asked = match &of {
            MetricsOf::Deployment(id) => MetricScope::Deployment(id.clone()),
            MetricsOf::Environment(name) => MetricScope::Environment(name.clone()),
            MetricsOf::Model => MetricScope::Model,
        };
        let series = self.api.control.metrics(actor, model, &asked, now.plus(-length), now).await;
        let series = series.map_err(told)?;
        let filter = EventFilter {
            model: Some(model.clone()),
            deployment: matches!(of, MetricsOf::Deployment(_)).then(|| id.clone()),
            environment: matches!(of, MetricsOf::Environment(_)).then(|| id.clone()),
            before: None,
            limit: 200,
        };
        let events = self.api.control.activity(actor, filter).await.map_err(told)?;
        let since = series.period.start;
        let shown = events.iter().filter(|event| event.at >= since && is_mark(event));
        let mut marks: Vec<MetricMark> = shown
            .take(MOST_MARKS as usize)
            .map(|event| MetricMark {
                at: event.at,
                sentence: event.sentence.clone(),
                is_promotion: event.kind != EventKind::ScalingDecision,
            })
            .collect();
        marks.reverse();
        let requests: u64 = series.points.iter().flatten().map(|point| point.outcomes.total()).sum();
        let failed: u64 = series.points.iter().flatten().map(|point| point.outcomes.server_errors).sum();
        let lines = metric_lines(&series);
        let label = PERIODS.iter().find(|(known, _)| *known == period).map_or("", |(_, label)| *label);
        Ok(MetricsPage {
            as_of: now,
            model_id: model.to_string(),
            model_name: picture.model.name.to_string(),
            scope: scope.into(),
            id,
            name,
            headline: headline(requests, failed, label),
            period: period.to_owned(),
            start: series.period.start,
            end: series.period.end,
            step: series.period.step,
            complete_through: series.complete_through,
            points: lines.points,
            cores_of: lines.cores_of,
            memory_of: lines.memory_of,
            marks,
        })
    }
}

fn headline(requests: u64, failed: u64, label: &str) -> String {
    let label = label.to_lowercase();
    match (requests, failed) {
        (0, _) => format!("No requests in the {label}."),
        (1, 0) => format!("1 request in the {label}, and it did not fail."),
        (_, 0) => format!("{requests} requests in the {label}, and none failed."),
        (_, _) => format!("{requests} requests in the {label}; {failed} of them failed."),
    }
}

fn is_mark(event: &Event) -> bool {
    match event.kind {
        // Replicas that follow a promotion, or what a person did, are not news beside it.
        EventKind::ScalingDecision => event.data.get("change").is_none(),
        EventKind::ModelDeploymentPromoted
        | EventKind::ModelPromotionSucceeded
        | EventKind::ModelPromotionFailed
        | EventKind::ModelPromotionCanceled
        | EventKind::ModelPromotionControlAction => true,
        _ => false,
    }
}

/// A period's length in milliseconds.
fn length_of(period: &str) -> Result<i64, AppError> {
    const MINUTE: i64 = 60_000;
    Ok(match period {
        "15m" => 15 * MINUTE,
        "1h" => 60 * MINUTE,
        "6h" => 6 * 60 * MINUTE,
        "24h" => 24 * 60 * MINUTE,
        "7d" => domain::KEPT,
        other => {
            let known: Vec<&str> = PERIODS.iter().map(|(known, _)| *known).collect();
            let problem = format!("`{other}` is not one of {}", known.join(", "));
            return Err(AppError::invalid("period", problem));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_period_that_is_offered_has_a_length() {
        let lengths: Vec<i64> = PERIODS.iter().filter_map(|(period, _)| length_of(period).ok()).collect();
        assert_eq!(lengths.len(), PERIODS.len());
        assert!(lengths.is_sorted());
        assert!(length_of("2d").is_err());
    }
}

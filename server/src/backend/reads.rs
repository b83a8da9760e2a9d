//! What pages show.

use app::error::AppError;
use app::view::{
    DeploymentPage, EnvironmentPage, LogCursor, LogPage, ModelPage, ModelsPage, UsagePage, UsageRow,
};
use domain::{Actor, DeploymentId, EnvironmentName, LogQuery, ModelId, Timestamp};
use store::EventFilter;

use super::errors::told;
use super::first_run::first_run;
use super::{Dashboard, pages};

/// Lines of a log that a page begins with, and that one read brings at most.
const FIRST_LINES: usize = 200;
const MORE_LINES: usize = 500;
/// Decisions that an environment's page shows at most.
const DECISIONS: u32 = 200;
const DAY: i64 = 24 * 60 * 60 * 1000;

impl Dashboard {
    pub(super) async fn read_models(&self, actor: &Actor) -> Result<ModelsPage, AppError> {
        let overviews = self.api.overviews(actor).await.map_err(told)?;
        let mut models: Vec<_> = overviews.iter().map(pages::model_row).collect();
        models.sort_by(|a, b| b.last_change_at.cmp(&a.last_change_at).then_with(|| a.name.cmp(&b.name)));
        let first_run = if models.is_empty() { Some(first_run(&self.api.public_url).await) } else { None };
        Ok(ModelsPage {
            as_of: self.api.clock.now(),
            headline: pages::models_headline(&models),
            models,
            first_run,
        })
    }

    pub(super) async fn read_model(&self, actor: &Actor, model: &ModelId) -> Result<ModelPage, AppError> {
        let picture = self.api.picture(actor, model).await.map_err(told)?;
        Ok(pages::model_page(&picture))
    }

    pub(super) async fn read_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<EnvironmentPage, AppError> {
        let picture = self.api.picture(actor, model).await.map_err(told)?;
        let Some(environment) = picture.environment(name) else {
            return Err(AppError::not_found(format!("{} has no environment `{name}`.", picture.model.name)));
        };
        let mut last = self.api.control.promotions(actor, model, name, 1).await.map_err(told)?;
        let promotion = picture.promotion(name).cloned().or_else(|| last.pop());
        let filter = EventFilter {
            model: Some(model.clone()),
            environment: Some(name.to_string()),
            limit: DECISIONS,
            ..EventFilter::default()
        };
        let events = self.api.control.activity(actor, filter).await.map_err(told)?;
        let counts = |deployment: &DeploymentId| {
            promotion.as_ref().and_then(|promotion| self.rollouts.counted(promotion, deployment))
        };
        Ok(pages::environment_page(&picture, environment, promotion.as_ref(), &events, &counts))
    }

    pub(super) async fn read_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<DeploymentPage, AppError> {
        let picture = self.api.picture(actor, model).await.map_err(told)?;
        let Some(deployment) = picture.deployment(id) else {
            return Err(AppError::not_found(format!("{} has no deployment `{id}`.", picture.model.name)));
        };
        let logs = self.read_logs(actor, model, id, LogCursor::default()).await?;
        let in_flight = |replica: &domain::ReplicaId| self.traffic.in_flight(replica);
        let mut page = pages::deployment_page(&picture, deployment, logs, &in_flight);
        page.instance_type = self.api.host.type_name(&deployment.compute);
        let stored = self.api.control.storage_of(actor, deployment).await.map_err(told)?;
        page.holds = pages::holds(&stored);
        Ok(page)
    }

    pub(super) async fn read_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        after: LogCursor,
    ) -> Result<LogPage, AppError> {
        let from_the_end = after == LogCursor::default();
        let query = LogQuery {
            after_nanos: (!from_the_end).then_some(after.0),
            limit: if from_the_end { FIRST_LINES } else { MORE_LINES },
            ascending: !from_the_end,
            ..LogQuery::default()
        };
        let mut lines = self.api.control.logs(actor, model, deployment, &query).await.map_err(told)?;
        if from_the_end {
            lines.reverse();
        }
        Ok(pages::log_rows(lines, after))
    }

    pub(super) async fn read_usage(&self, actor: &Actor, days: u32) -> Result<UsagePage, AppError> {
        let now = self.api.clock.now();
        let today = now.millis().div_euclid(DAY);
        let first = today - i64::from(days) + 1;
        let rows = self.api.control.usage(actor, first, today).await.map_err(told)?;
        let rows = summed(rows);
        let minutes: u64 = rows.iter().map(|row| row.minutes).sum();
        let requests: u64 = rows.iter().map(|row| row.requests).sum();
        Ok(UsagePage {
            as_of: now,
            from: Timestamp::from_millis(first * DAY),
            to: now,
            days,
            headline: format!("{minutes} replica minutes and {requests} requests in {days} days."),
            rows,
        })
    }
}

/// One row for each deployment, most minutes first.
fn summed(days: Vec<store::UsageRow>) -> Vec<UsageRow> {
    let mut rows: std::collections::BTreeMap<String, (i64, UsageRow)> = std::collections::BTreeMap::new();
    for day in days {
        let entry = rows.entry(day.deployment.to_string()).or_insert_with(|| {
            (
                0,
                UsageRow {
                    model_id: day.model.to_string(),
                    model_name: day.model_name.clone(),
                    deployment_id: day.deployment.to_string(),
                    deployment_name: day.deployment_name.clone(),
                    environment: day.environment.clone(),
                    is_deleted: day.is_deleted,
                    minutes: 0,
                    requests: 0,
                },
            )
        });
        entry.0 += day.replica_millis;
        entry.1.requests += u64::try_from(day.requests).unwrap_or(0);
        // A started minute counts whole.
        entry.1.minutes = u64::try_from((entry.0 + 59_999) / 60_000).unwrap_or(0);
    }
    let mut rows: Vec<UsageRow> = rows.into_values().map(|(_, row)| row).collect();
    rows.sort_by(|a, b| b.minutes.cmp(&a.minutes).then_with(|| a.deployment_id.cmp(&b.deployment_id)));
    rows
}

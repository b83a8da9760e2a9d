//! A deployment's log as the dashboard reads it.

use app::backend::{LogFile, LogNews, LogPart};
use app::error::AppError;
use app::view::{LogCursor, LogFilter, LogPage, LogPiece};
use domain::{Actor, DeploymentId, LogLevel, LogQuery, ModelId, Timestamp};

use super::errors::told;
use super::{Dashboard, pages};
use crate::log_file::{self, Format};

/// Lines that a page begins with, and that one read brings at most.
const FIRST_LINES: usize = 200;
const MORE_LINES: usize = 500;
/// Lines in one piece of news.
const NEWS_LINES: usize = 5000;

impl Dashboard {
    pub(super) async fn read_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        filter: LogFilter,
        part: LogPart,
    ) -> Result<LogPage, AppError> {
        let mut query = asked(&filter)?;
        (query.limit, query.ascending) = (MORE_LINES, false);
        let mut next = LogCursor::default();
        match part {
            LogPart::End => {
                // New lines begin after the newest there is, whether the filter lets it through or not.
                let newest = LogQuery { limit: 1, ..LogQuery::default() };
                let newest = self.api.control.logs(actor, model, deployment, &newest).await.map_err(told)?;
                next = LogCursor(newest.lines.first().map_or(0, |line| line.nanos));
                query.before_nanos = Some(next.0.saturating_add(1));
                query.limit = FIRST_LINES;
            }
            LogPart::After(after) => {
                query.after_nanos = Some(after.0);
                query.ascending = true;
                next = after;
            }
            LogPart::Before(before) => query.before_nanos = Some(before.0),
        }
        let found = self.api.control.logs(actor, model, deployment, &query).await.map_err(told)?;
        let mut lines = found.lines;
        if query.ascending {
            next = lines.last().map_or(next, |line| LogCursor(line.nanos));
        } else {
            lines.reverse();
        }
        let older = !query.ascending && (lines.len() == query.limit || found.searched_to.is_some());
        let searched_to = found.searched_to.filter(|_| !query.ascending).map(LogCursor);
        Ok(LogPage {
            lines: pages::log_rows(lines),
            next,
            older,
            searched_to,
            ..of(model, deployment, filter)
        })
    }

    pub(super) async fn await_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        filter: &LogFilter,
        after: LogCursor,
    ) -> Result<LogNews, AppError> {
        let query = LogQuery { after_nanos: Some(after.0), limit: NEWS_LINES, ..asked(filter)? };
        let news = self.api.control.follow_logs(actor, model, deployment, &query).await.map_err(told)?;
        let page = LogPage {
            lines: pages::log_rows(news.lines),
            left_out: news.left_out,
            next: LogCursor(news.read_to),
            ..of(model, deployment, LogFilter::default())
        };
        Ok(LogNews { page, more: news.more })
    }

    pub(super) async fn begin_log_file(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<LogFile, AppError> {
        let picture = self.api.picture(actor, model, std::slice::from_ref(deployment)).await.map_err(told)?;
        let Some(found) = picture.deployment(deployment) else {
            let problem = format!("{} has no deployment `{deployment}`.", picture.model.name);
            return Err(AppError::not_found(problem));
        };
        let (model, deployment) = (picture.model.name.as_str(), found.name.as_str());
        let until = self.api.clock.now();
        Ok(LogFile { name: log_file::name(model, deployment, until, Format::Text), until })
    }

    pub(super) async fn write_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        filter: &LogFilter,
        after: LogCursor,
        until: Timestamp,
    ) -> Result<LogPiece, AppError> {
        let query = log_file::next_lines(asked(filter)?, after, until);
        let found = self.api.control.logs(actor, model, deployment, &query).await.map_err(told)?;
        Ok(log_file::piece(&found, Format::Text))
    }
}

fn of(model: &ModelId, deployment: &DeploymentId, filter: LogFilter) -> LogPage {
    LogPage {
        model_id: model.to_string(),
        deployment_id: deployment.to_string(),
        filter,
        ..LogPage::default()
    }
}

/// What a filter asks for, from any moment on.
fn asked(filter: &LogFilter) -> Result<LogQuery, AppError> {
    let min_level = match filter.level.as_str() {
        "" => None,
        "DEBUG" => Some(LogLevel::Debug),
        "INFO" => Some(LogLevel::Info),
        "WARNING" => Some(LogLevel::Warning),
        "ERROR" => Some(LogLevel::Error),
        other => {
            let problem = format!("`{other}` is not one of DEBUG, INFO, WARNING, ERROR");
            return Err(AppError::invalid("level", problem));
        }
    };
    Ok(LogQuery { min_level, ..LogQuery::default() }.searching(&filter.search))
}

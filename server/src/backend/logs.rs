//! Logs as the dashboard reads them: a deployment's, or an environment's.

use std::collections::{BTreeMap, BTreeSet};

use app::backend::{LogFile, LogFormat, LogNews, LogPart, LogsOf};
use app::error::AppError;
use app::view::{DeploymentRef, LogCursor, LogFilter, LogPage, LogPiece, LogRow, LogScope};
use domain::{Actor, DeploymentId, LogLevel, LogLine, LogPlaces, LogQuery, ModelId, Timestamp};
use store::Part;

use super::errors::told;
use super::{Dashboard, pages};
use crate::log_file;

/// Lines that a page begins with, and that one read brings at most.
const FIRST_LINES: usize = 200;
const MORE_LINES: usize = 500;
/// Lines in one piece of news.
const NEWS_LINES: usize = 5000;

/// Each line with whose it is, where a log has those of several deployments.
type Lines = Vec<(Option<DeploymentId>, LogLine)>;

/// What a search of either kind of log came to.
struct Found {
    lines: Lines,
    /// There were as many as were asked for, so there may be more.
    is_full: bool,
    searched_to: Option<i64>,
}

impl Dashboard {
    pub(super) async fn read_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        of: &LogsOf,
        filter: LogFilter,
        part: LogPart,
    ) -> Result<LogPage, AppError> {
        let mut query = asked(&filter)?;
        (query.limit, query.ascending) = (MORE_LINES, false);
        let mut next = LogPlaces::default();
        match part {
            LogPart::End => {
                // New lines begin after the newest there is, whether the filter lets it through or not.
                next = self.end_of_log(actor, model, of).await?;
                query.before_nanos = Some(next.furthest().saturating_add(1));
                query.limit = FIRST_LINES;
            }
            LogPart::After(after) => {
                query.after_nanos = Some(after.0);
                query.ascending = true;
                next = LogPlaces::at(after.0);
            }
            LogPart::Before(before) => query.before_nanos = Some(before.0),
        }
        if matches!(of, LogsOf::Environment(_)) {
            // The last moment of a full answer is left to the next one.
            query.limit += 1;
        }
        let Found { mut lines, is_full, searched_to } = self.find(actor, model, of, &query).await?;
        if !query.ascending {
            lines.reverse();
        } else if let Some((_, last)) = lines.last() {
            next = LogPlaces::at(last.nanos);
        }
        if part == LogPart::End {
            // What was written meanwhile comes as news.
            let whose = |id: &Option<DeploymentId>| next.of(id.as_ref().map_or("", DeploymentId::as_str));
            lines.retain(|(id, line)| line.nanos <= whose(id));
        }
        Ok(LogPage {
            lines: self.log_rows(actor, model, lines).await?,
            next,
            older: !query.ascending && (is_full || searched_to.is_some()),
            searched_to: searched_to.filter(|_| !query.ascending).map(LogCursor),
            ..page_of(model, of, filter)
        })
    }

    pub(super) async fn await_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        of: &LogsOf,
        filter: &LogFilter,
        after: &LogPlaces,
    ) -> Result<LogNews, AppError> {
        let control = &self.api.control;
        let query = LogQuery { limit: NEWS_LINES, ..asked(filter)? };
        let (lines, left_out, next, more): (Lines, _, _, _) = match of {
            LogsOf::Deployment(id) => {
                let query = LogQuery { after_nanos: Some(after.of(id.as_str())), ..query };
                let news = control.follow_logs(actor, model, id, &query).await.map_err(told)?;
                let lines = news.lines.into_iter().map(|line| (None, line)).collect();
                (lines, news.left_out, LogPlaces::at(news.read_to), news.more)
            }
            LogsOf::Environment(name) => {
                let news = control.follow_environment_logs(actor, model, name, &query, after).await;
                let news = news.map_err(told)?;
                let lines = news.lines.into_iter().map(|(id, line)| (Some(id), line)).collect();
                (lines, news.left_out, news.read_to, news.more)
            }
        };
        let lines = self.log_rows(actor, model, lines).await?;
        let page = LogPage { lines, left_out, next, ..page_of(model, of, LogFilter::default()) };
        Ok(LogNews { page, more })
    }

    pub(super) async fn begin_log_file(
        &self,
        actor: &Actor,
        model: &ModelId,
        of: &LogsOf,
    ) -> Result<LogFile, AppError> {
        let named = match of {
            LogsOf::Deployment(id) => std::slice::from_ref(id),
            LogsOf::Environment(_) => &[],
        };
        let picture = self.api.picture(actor, model, named).await.map_err(told)?;
        let (whose, what) = match of {
            LogsOf::Deployment(id) => {
                let name = picture.deployment(id).map(|found| found.name.to_string());
                (name, format!("deployment `{id}`"))
            }
            LogsOf::Environment(name) => {
                let found = picture.environment(name).map(|found| found.name.to_string());
                (found, format!("environment `{name}`"))
            }
        };
        let model = picture.model.name.as_str();
        let whose = whose.ok_or_else(|| AppError::not_found(format!("{model} has no {what}.")))?;
        let until = self.api.clock.now();
        Ok(LogFile { name: log_file::name(model, &whose, until), until })
    }

    pub(super) async fn write_logs(
        &self,
        actor: &Actor,
        model: &ModelId,
        of: &LogsOf,
        filter: &LogFilter,
        format: LogFormat,
        after: LogCursor,
        until: Timestamp,
    ) -> Result<LogPiece, AppError> {
        let query = log_file::next_lines(asked(filter)?, after, until);
        let Found { lines, is_full, searched_to } = self.find(actor, model, of, &query).await?;
        let last = lines.last().filter(|_| is_full).map(|(_, line)| line.nanos);
        let names = self.names(actor, model, &lines).await?;
        let text = lines
            .iter()
            .map(|(id, line)| {
                let whose = id.as_ref().map(|id| (id, name_of(&names, id)));
                log_file::line_of(line, whose, format)
            })
            .collect();
        Ok(LogPiece { text, next: searched_to.or(last).map(LogCursor) })
    }

    async fn find(
        &self,
        actor: &Actor,
        model: &ModelId,
        of: &LogsOf,
        query: &LogQuery,
    ) -> Result<Found, AppError> {
        let control = &self.api.control;
        match of {
            LogsOf::Deployment(id) => {
                let found = control.logs(actor, model, id, query).await.map_err(told)?;
                let is_full = found.lines.len() == query.limit;
                let lines = found.lines.into_iter().map(|line| (None, line)).collect();
                Ok(Found { lines, is_full, searched_to: found.searched_to })
            }
            LogsOf::Environment(name) => {
                let found = control.environment_logs(actor, model, name, query).await.map_err(told)?;
                let is_full = found.lines.len() == query.limit;
                let found = found.between_moments(query.limit);
                let lines = found.lines.into_iter().map(|(id, line)| (Some(id), line)).collect();
                Ok(Found { lines, is_full, searched_to: found.searched_to })
            }
        }
    }

    /// Where a log ends now.
    async fn end_of_log(&self, actor: &Actor, model: &ModelId, of: &LogsOf) -> Result<LogPlaces, AppError> {
        let control = &self.api.control;
        match of {
            LogsOf::Deployment(id) => {
                let newest = LogQuery { limit: 1, ..LogQuery::default() };
                let newest = control.logs(actor, model, id, &newest).await.map_err(told)?;
                Ok(LogPlaces::at(newest.lines.first().map_or(0, |line| line.nanos)))
            }
            LogsOf::Environment(name) => control.environment_log_end(actor, model, name).await.map_err(told),
        }
    }

    /// Lines as the page shows them, with the names that their deployments have now.
    async fn log_rows(&self, actor: &Actor, model: &ModelId, lines: Lines) -> Result<Vec<LogRow>, AppError> {
        let names = self.names(actor, model, &lines).await?;
        let row = |(id, line): (Option<DeploymentId>, LogLine)| {
            let named = |id: DeploymentId| DeploymentRef {
                name: name_of(&names, &id).to_owned(),
                id: id.to_string(),
            };
            pages::log_row(line, id.map(named))
        };
        Ok(lines.into_iter().map(row).collect())
    }

    /// What the deployments of these lines are called; nothing is read for lines that name none.
    async fn names(
        &self,
        actor: &Actor,
        model: &ModelId,
        lines: &[(Option<DeploymentId>, LogLine)],
    ) -> Result<BTreeMap<DeploymentId, String>, AppError> {
        let named: BTreeSet<&DeploymentId> = lines.iter().filter_map(|(id, _)| id.as_ref()).collect();
        if named.is_empty() {
            return Ok(BTreeMap::new());
        }
        let part = Part { named: named.into_iter().cloned().collect(), newest: None };
        let found = self.api.control.model_part(actor, model, &part).await.map_err(told)?;
        let deployments = found.state.deployments.into_iter();
        Ok(deployments.map(|deployment| (deployment.id, deployment.name.to_string())).collect())
    }
}

/// A deployment's name; its id, if it was deleted a moment ago.
fn name_of<'a>(names: &'a BTreeMap<DeploymentId, String>, id: &'a DeploymentId) -> &'a str {
    names.get(id).map_or(id.as_str(), String::as_str)
}

fn page_of(model: &ModelId, of: &LogsOf, filter: LogFilter) -> LogPage {
    let scope = match of {
        LogsOf::Deployment(id) => LogScope::deployment(model.to_string(), id.to_string()),
        LogsOf::Environment(name) => LogScope::environment(model.to_string(), name.to_string()),
    };
    LogPage { scope, filter, ..LogPage::default() }
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

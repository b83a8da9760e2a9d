//! The usage log: as a page, and as a file.

use std::collections::BTreeMap;

use app::error::AppError;
use app::view::{UsageDay, UsagePage, UsageRow};
use domain::{Actor, Timestamp};

use super::Dashboard;
use super::errors::told;
use crate::csv;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// What the file's columns are called.
const COLUMNS: [&str; 10] = [
    "date",
    "model_id",
    "model",
    "deployment_id",
    "deployment",
    "environment",
    "deleted",
    "minutes",
    "requests",
    "cost",
];

impl Dashboard {
    pub(super) async fn read_usage(&self, actor: &Actor, days: u32) -> Result<UsagePage, AppError> {
        let now = self.api.clock.now();
        let (first, today) = period(now, days);
        let used = self.api.control.usage(actor, first, today).await.map_err(told)?;
        let by_day = by_day(&used, first, today);
        let minutes: u64 = by_day.iter().map(|day| day.minutes).sum();
        let requests: u64 = by_day.iter().map(|day| day.requests).sum();
        let count = |number: u64, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        let span = if days == 1 { "today".to_owned() } else { format!("in {days} days") };
        Ok(UsagePage {
            as_of: now,
            from: Timestamp::from_millis(first * DAY),
            to: now,
            days,
            headline: format!("{} and {} {span}.", count(minutes, "minute"), count(requests, "request")),
            by_day,
            rows: by_deployment(used),
        })
    }

    /// The file and its name.
    pub(super) async fn write_usage(&self, actor: &Actor, days: u32) -> Result<(String, String), AppError> {
        let (first, today) = period(self.api.clock.now(), days);
        let mut used = self.api.control.usage(actor, first, today).await.map_err(told)?;
        used.sort_by(|a, b| a.day.cmp(&b.day).then_with(|| a.deployment.cmp(&b.deployment)));
        let mut text = csv::line(COLUMNS);
        for row in used {
            text.push_str(&csv::line([
                date(row.day).as_str(),
                row.model.as_str(),
                &row.model_name,
                row.deployment.as_str(),
                &row.deployment_name,
                row.environment.as_deref().unwrap_or_default(),
                if row.is_deleted { "yes" } else { "no" },
                &minutes(&row).to_string(),
                &row.requests.to_string(),
                &cost(&row).map_or_else(String::new, |cost| cost.to_string()),
            ]));
        }
        Ok((format!("slipway-usage-{}-to-{}.csv", date(first), date(today)), text))
    }
}

/// The first and the last day, counted from 1970, of a period that ends today.
fn period(now: Timestamp, days: u32) -> (i64, i64) {
    let today = now.millis().div_euclid(DAY);
    (today - i64::from(days) + 1, today)
}

fn minutes(row: &store::UsageRow) -> u64 {
    u64::try_from(row.minutes).unwrap_or(0)
}

/// What a day of a deployment cost; nothing where its instance type has no price.
fn cost(row: &store::UsageRow) -> Option<f64> {
    row.price.map(|price| (price.of(minutes(row)) * 1e6).round() / 1e6)
}

fn date(day: i64) -> String {
    Timestamp::from_millis(day * DAY).rfc3339().chars().take(10).collect()
}

fn by_day(used: &[store::UsageRow], first: i64, last: i64) -> Vec<UsageDay> {
    (first..=last)
        .map(|day| {
            let of_day = || used.iter().filter(move |row| row.day == day);
            UsageDay {
                day: Timestamp::from_millis(day * DAY),
                minutes: of_day().map(minutes).sum(),
                requests: of_day().map(|row| u64::try_from(row.requests).unwrap_or(0)).sum(),
            }
        })
        .collect()
}

/// One row for each deployment, most minutes first.
fn by_deployment(used: Vec<store::UsageRow>) -> Vec<UsageRow> {
    let mut rows: BTreeMap<String, UsageRow> = BTreeMap::new();
    for day in used {
        let (cost, minutes) = (cost(&day), minutes(&day));
        let row = rows.entry(day.deployment.to_string()).or_insert_with(|| UsageRow {
            model_id: day.model.to_string(),
            model_name: day.model_name,
            deployment_id: day.deployment.to_string(),
            deployment_name: day.deployment_name,
            environment: day.environment,
            is_deleted: day.is_deleted,
            minutes: 0,
            requests: 0,
            cost: None,
        });
        row.minutes += minutes;
        row.requests += u64::try_from(day.requests).unwrap_or(0);
        row.cost = cost.map(|cost| row.cost.unwrap_or(0.0) + cost).or(row.cost);
    }
    let mut rows: Vec<UsageRow> = rows.into_values().collect();
    rows.sort_by(|a, b| b.minutes.cmp(&a.minutes).then_with(|| a.deployment_id.cmp(&b.deployment_id)));
    rows
}

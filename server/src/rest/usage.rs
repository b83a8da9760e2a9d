//! What was used, also by what is gone.

use std::collections::BTreeMap;

use super::*;
use domain::{DeploymentId, Invalid};
use serde::{Deserialize, Serialize};
use time::Date;
use utoipa::ToSchema;

const DAY: i64 = 24 * 60 * 60 * 1000;
const LONGEST: i64 = 31;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/billing/usage_summary", summary, "Read what was used")
            .says("By deployment and day, also of what is deleted.")
            .query::<Period>()
            .answers::<Summary>(),
    ]
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct Period {
    /// The first day, in UTC: 31 days up to the last, if nothing else is said, and at most.
    #[schema(format = Date)]
    start_date: Option<String>,
    /// The last day: today, if nothing else is said.
    #[schema(format = Date)]
    end_date: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UsageSummary)]
struct Summary {
    dedicated_usage: Dedicated,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DedicatedUsage)]
struct Dedicated {
    subtotal: f64,
    /// Always 0.
    credits_used: f64,
    total: f64,
    minutes: u64,
    inference_requests: u64,
    breakdown: Vec<Row>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UsageRow)]
struct Row {
    billable_resource: Resource,
    #[serde(flatten)]
    cost: Cost,
    minutes: u64,
    inference_requests: u64,
    daily: Vec<Daily>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BillableResource)]
struct Resource {
    id: String,
    kind: &'static str,
    name: String,
    model_name: String,
    is_deleted: bool,
    instance_type: String,
    #[schema(required)]
    environment_name: Option<String>,
    team_id: &'static str,
    team_name: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DailyUsage)]
struct Daily {
    #[schema(format = Date)]
    date: String,
    #[serde(flatten)]
    cost: Cost,
    minutes: u64,
    inference_requests: u64,
}

/// What minutes cost, in the currency of the configured prices; 0 where no instance type has a price.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
struct Cost {
    subtotal: f64,
    /// All of it: nothing but compute costs anything here.
    compute_cost: f64,
    /// Always 0.
    surcharge_cost: f64,
}

impl Cost {
    fn of(compute: f64) -> Self {
        let compute_cost = rounded(compute);
        Self { subtotal: compute_cost, compute_cost, surcharge_cost: 0.0 }
    }
}

/// To the millionth: what is beyond comes from adding binary fractions.
fn rounded(cost: f64) -> f64 {
    (cost * 1e6).round() / 1e6
}

pub async fn summary(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Query(period): Query<Period>,
) -> Answer {
    let (first, last) = days(&period, api.clock.now().millis().div_euclid(DAY))
        .map_err(|invalid| error::invalid(&invalid))?;
    let rows = api.control.usage(&actor, first, last).await.map_err(|error| failure(&error))?;
    let mut breakdown: Vec<Row> = Vec::new();
    let mut places: BTreeMap<DeploymentId, usize> = BTreeMap::new();
    for row in rows {
        let minutes = u64::try_from(row.minutes).unwrap_or(0);
        let daily = Daily {
            date: date(row.day),
            cost: Cost::of(row.price.map_or(0.0, |price| price.of(minutes))),
            minutes,
            inference_requests: u64::try_from(row.requests).unwrap_or(0),
        };
        let place = *places.entry(row.deployment).or_insert_with_key(|id| {
            breakdown.push(Row {
                billable_resource: Resource {
                    id: id.to_string(),
                    kind: "MODEL_DEPLOYMENT",
                    name: row.deployment_name,
                    model_name: row.model_name,
                    is_deleted: row.is_deleted,
                    instance_type: row
                        .instance_type
                        .unwrap_or_else(|| api.host.type_name(&domain::Compute::default())),
                    environment_name: row.environment,
                    team_id: contract::TEAM,
                    team_name: contract::TEAM,
                },
                cost: Cost::default(),
                minutes: 0,
                inference_requests: 0,
                daily: Vec::new(),
            });
            breakdown.len() - 1
        });
        let known = &mut breakdown[place];
        known.minutes += daily.minutes;
        known.inference_requests += daily.inference_requests;
        known.daily.push(daily);
    }
    for row in &mut breakdown {
        row.cost = Cost::of(row.daily.iter().map(|daily| daily.cost.compute_cost).sum());
    }
    let total = rounded(breakdown.iter().map(|row| row.cost.subtotal).sum());
    Ok(answer::ok(&Summary {
        dedicated_usage: Dedicated {
            subtotal: total,
            credits_used: 0.0,
            total,
            minutes: breakdown.iter().map(|row| row.minutes).sum(),
            inference_requests: breakdown.iter().map(|row| row.inference_requests).sum(),
            breakdown,
        },
    }))
}

/// The period in days since 1970; the last 31 of them if nothing was said.
pub(super) fn days(period: &Period, today: i64) -> Result<(i64, i64), Invalid> {
    let last = period.end_date.as_deref().map(|text| day("end_date", text)).transpose()?.unwrap_or(today);
    let first = period
        .start_date
        .as_deref()
        .map(|text| day("start_date", text))
        .transpose()?
        .unwrap_or(last - LONGEST + 1);
    if first > last {
        return Err(Invalid::new("start_date", "is after end_date"));
    }
    if last - first >= LONGEST {
        return Err(Invalid::new("start_date", format!("is more than {LONGEST} days before end_date")));
    }
    Ok((first, last))
}

/// Days since 1970 of a date like `2026-01-31`, or of a moment that begins with one.
pub fn day(field: &str, text: &str) -> Result<i64, Invalid> {
    let wrong = || Invalid::new(field, format!("`{text}` is not a date like 2026-01-31"));
    let date = text.get(..10).ok_or_else(wrong)?;
    let mut parts = date.splitn(3, '-');
    let mut number = || parts.next().and_then(|part| part.parse::<u16>().ok()).ok_or_else(wrong);
    let (year, month, of_month) = (number()?, number()?, number()?);
    let month =
        u8::try_from(month).ok().and_then(|month| time::Month::try_from(month).ok()).ok_or_else(wrong)?;
    let of_month = u8::try_from(of_month).map_err(|_| wrong())?;
    let date = Date::from_calendar_date(i32::from(year), month, of_month).map_err(|_| wrong())?;
    Ok(date.midnight().assume_utc().unix_timestamp() / 86_400)
}

fn date(day: i64) -> String {
    domain::Timestamp::from_millis(day * DAY).rfc3339().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(start: Option<&str>, end: Option<&str>) -> Period {
        Period { start_date: start.map(str::to_owned), end_date: end.map(str::to_owned) }
    }

    #[test]
    fn a_month_is_the_most_and_the_default() {
        let (first, last) = days(&period(None, None), 20_000).unwrap();
        assert_eq!((last, last - first + 1), (20_000, 31));
        assert_eq!(days(&period(Some("2026-01-01"), Some("2026-01-31")), 0).unwrap().0, 20_454);
        assert!(days(&period(Some("2026-01-01"), Some("2026-02-01")), 0).is_err());
        assert!(days(&period(Some("2026-01-02"), Some("2026-01-01")), 0).is_err());
    }

    #[test]
    fn dates_are_read_strictly_and_written_back() {
        assert_eq!(date(day("start_date", "2026-02-28T10:00:00Z").unwrap()), "2026-02-28");
        for text in ["", "2026", "2026-13-01", "2026-02-30", "éééééééééé", "2026-02-3é"] {
            assert_eq!(day("start_date", text).unwrap_err().field, "start_date", "{text}");
        }
    }

    #[test]
    fn costs_are_rounded_and_all_of_compute() {
        let told = serde_json::to_value(Cost::of(0.1 + 0.2)).unwrap();
        let expected = serde_json::json!({ "subtotal": 0.3, "compute_cost": 0.3, "surcharge_cost": 0.0 });
        assert_eq!(told, expected);
    }
}

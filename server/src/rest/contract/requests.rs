//! Bodies that clients send. What they leave out keeps its value; what nobody knows is refused by name.

use domain::{
    AutoscalingPatch, Backpressure, EnvironmentPatch, Invalid, LogLevel, LogQuery, LogSource, PromotionPatch,
    Timestamp,
};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{REGION, UpdateAutoscaling, UpdatePromotion, words};
use crate::rest::unread::LIMIT;

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
}

/// What becomes of requests while all replicas are busy. An explicit null takes the choice away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateRequestBackpressureSettings)]
pub struct UpdateBackpressure {
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<words::RequestBackpressurePolicy>)]
    pub policy: Option<Option<String>>,
}

/// Something that was said, be it null.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl UpdateBackpressure {
    /// What is chosen; `None` leaves things as they are.
    pub fn choice(&self) -> Result<Option<Option<Backpressure>>, Invalid> {
        let read = |text: &String| {
            Backpressure::parse(text).ok_or_else(|| {
                let problem = format!("`{text}` is not one of QUEUE_ON_FULL, REJECT_ON_FULL");
                Invalid::new("request_backpressure_settings.policy", problem)
            })
        };
        self.policy.as_ref().map(|policy| policy.as_ref().map(read).transpose()).transpose()
    }
}

/// The settings that a body brings.
fn patch(
    autoscaling: Option<UpdateAutoscaling>,
    promotion: Option<UpdatePromotion>,
    backpressure: Option<&UpdateBackpressure>,
) -> Result<EnvironmentPatch, Invalid> {
    Ok(EnvironmentPatch {
        autoscaling: AutoscalingPatch::try_from(autoscaling.unwrap_or_default())?,
        promotion: PromotionPatch::try_from(promotion.unwrap_or_default())?,
        backpressure: backpressure.map(UpdateBackpressure::choice).transpose()?.flatten(),
    })
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateEnvironment {
    #[schema(min_length = 1, max_length = 40)]
    pub name: String,
    pub autoscaling_settings: Option<UpdateAutoscaling>,
    pub promotion_settings: Option<UpdatePromotion>,
    pub request_backpressure_settings: Option<UpdateBackpressure>,
}

impl CreateEnvironment {
    /// The settings that differ from the defaults.
    pub fn patch(self) -> Result<EnvironmentPatch, Invalid> {
        patch(self.autoscaling_settings, self.promotion_settings, self.request_backpressure_settings.as_ref())
    }
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateEnvironment {
    pub autoscaling_settings: Option<UpdateAutoscaling>,
    pub promotion_settings: Option<UpdatePromotion>,
    pub request_backpressure_settings: Option<UpdateBackpressure>,
    /// Not available; refused unless null.
    #[schema(value_type = Option<Object>)]
    pub autoscaling_schedule_settings: Option<serde_json::Value>,
    /// Not available; refused unless null.
    #[schema(value_type = Option<Object>)]
    pub traffic_routing_settings: Option<serde_json::Value>,
}

impl UpdateEnvironment {
    /// The settings; what is not available is refused.
    pub fn patch(self) -> Result<EnvironmentPatch, Invalid> {
        absent("autoscaling_schedule_settings", self.autoscaling_schedule_settings.is_some())?;
        absent("traffic_routing_settings", self.traffic_routing_settings.is_some())?;
        patch(self.autoscaling_settings, self.promotion_settings, self.request_backpressure_settings.as_ref())
    }
}

/// Changes to an environment that come with a promotion: they are made when it succeeds.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSettingsUpdate {
    /// There is one region; anything but `local` is refused.
    pub region: Option<String>,
    /// Not to be chosen here: the candidate gets the environment's instance type, or keeps its own with
    /// `preserve_env_instance_type: false`. Anything but `local` is refused.
    pub instance_type_id: Option<String>,
    pub autoscaling_settings: Option<UpdateAutoscaling>,
    pub request_backpressure_settings: Option<UpdateBackpressure>,
    /// Not available; refused unless null.
    #[schema(value_type = Option<Object>)]
    pub autoscaling_schedule_settings: Option<serde_json::Value>,
    pub promotion_settings: Option<UpdatePromotion>,
}

impl EnvironmentSettingsUpdate {
    /// The settings; what is not available is refused.
    pub fn patch(self) -> Result<EnvironmentPatch, Invalid> {
        let elsewhere = self.region.as_deref().is_some_and(|region| region != REGION);
        absent("environment_settings_update.region", elsewhere)?;
        absent(
            "environment_settings_update.autoscaling_schedule_settings",
            self.autoscaling_schedule_settings.is_some(),
        )?;
        match self.instance_type_id.as_deref() {
            None | Some(domain::LOCAL) => {}
            Some(other) => {
                let problem = format!(
                    "`{other}` can't be set here: a deployment gets the environment's instance type, or keeps the one \
                     that `resources` in its config.yaml asks for; push it with another, and send \
                     `preserve_env_instance_type: false`"
                );
                return Err(Invalid::new("environment_settings_update.instance_type_id", problem));
            }
        }
        patch(self.autoscaling_settings, self.promotion_settings, self.request_backpressure_settings.as_ref())
    }
}

pub(super) fn absent(field: &str, is_set: bool) -> Result<(), Invalid> {
    if is_set { Err(Invalid::new(field, "is not available; leave it out")) } else { Ok(()) }
}

pub(super) fn yes() -> bool {
    true
}

/// Promotes the deployment in the path to production.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteDeployment {
    /// Clean up the previous deployment as the environment says; `false` keeps it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub scale_down_previous_production: bool,
    /// The candidate gets the instance type of the environment's current deployment, by a copy if it has another, unless
    /// that has less than it asks for; with `false` it keeps its own.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub preserve_env_instance_type: bool,
    pub environment_settings_update: Option<EnvironmentSettingsUpdate>,
    pub promotion_settings_override: Option<UpdatePromotion>,
}

/// Promotes a deployment to the environment in the path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteToEnvironment {
    pub deployment_id: String,
    /// Clean up the previous deployment as the environment says; `false` keeps it.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub scale_down_previous_deployment: bool,
    /// The candidate gets the instance type of the environment's current deployment, by a copy if it has another, unless
    /// that has less than it asks for; with `false` it keeps its own.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub preserve_env_instance_type: bool,
    pub environment_settings_update: Option<EnvironmentSettingsUpdate>,
    pub promotion_settings_override: Option<UpdatePromotion>,
}

/// Which log lines to read, from a body or a query.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsRequest {
    /// 30 minutes before the end, if nothing else is said; at most 7 days before it.
    pub start_epoch_millis: Option<i64>,
    /// Now, if nothing else is said.
    pub end_epoch_millis: Option<i64>,
    /// Newest first (`desc`), if nothing else is said.
    #[schema(value_type = Option<words::Order>, default = "desc")]
    pub direction: Option<String>,
    #[schema(minimum = 1, maximum = 1000, default = 500)]
    pub limit: Option<i64>,
    /// Drops lines below it, and those without a level.
    #[schema(value_type = Option<words::Level>)]
    pub min_level: Option<LogLevel>,
    #[schema(max_length = 256)]
    pub replica: Option<String>,
    #[schema(max_length = 256)]
    pub request_id: Option<String>,
    /// Only what this wrote: the build, Slipway itself, or the model's replicas.
    #[schema(value_type = Option<words::LogComponent>)]
    pub component: Option<String>,
    /// A regular expression that the message matches.
    #[schema(max_length = 256)]
    pub search_pattern: Option<String>,
    /// Texts that the message has, all of them; at most 8 of at most 256 characters.
    #[schema(max_items = 8)]
    pub includes: Option<Vec<String>>,
    /// Texts that the message has none of.
    #[schema(max_items = 8)]
    pub excludes: Option<Vec<String>>,
}

const HALF_HOUR: i64 = 30 * 60 * 1000;
const WEEK: i64 = 7 * 24 * 60 * 60 * 1000;

impl LogsRequest {
    /// From the pairs of a query; `includes` and `excludes` may come several times.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, Invalid> {
        let mut request = Self::default();
        for (name, value) in pairs {
            let number =
                || value.parse().map_err(|_| Invalid::new(&name, format!("`{value}` is not a whole number")));
            match name.as_str() {
                "start_epoch_millis" => request.start_epoch_millis = Some(number()?),
                "end_epoch_millis" => request.end_epoch_millis = Some(number()?),
                "limit" => request.limit = Some(LIMIT.read(&value)?.into()),
                "direction" => request.direction = Some(value),
                "min_level" => request.min_level = Some(level(&value)?),
                "replica" => request.replica = Some(value),
                "request_id" => request.request_id = Some(value),
                "component" => request.component = Some(value),
                "search_pattern" => request.search_pattern = Some(value),
                "includes" => request.includes.get_or_insert_default().push(value),
                "excludes" => request.excludes.get_or_insert_default().push(value),
                _ => return Err(Invalid::new(name, "is not a parameter of this call")),
            }
        }
        Ok(request)
    }

    /// Checks the bounds, and fills in what was left out: the last 30 minutes, 500 lines, newest first.
    pub fn query(self, now: Timestamp) -> Result<LogQuery, Invalid> {
        let end = self.end_epoch_millis.unwrap_or(now.millis());
        let start = self.start_epoch_millis.unwrap_or(end.saturating_sub(HALF_HOUR));
        if start > end {
            return Err(Invalid::new("start_epoch_millis", "is after end_epoch_millis"));
        }
        if end.saturating_sub(start) > WEEK {
            return Err(Invalid::new("start_epoch_millis", "is more than 7 days before end_epoch_millis"));
        }
        let limit = LIMIT.check(self.limit.unwrap_or(500))?;
        let ascending = match self.direction.as_deref() {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(other) => {
                return Err(Invalid::new("direction", format!("`{other}` is not one of asc, desc")));
            }
        };
        for (field, text) in [
            ("replica", &self.replica),
            ("request_id", &self.request_id),
            ("search_pattern", &self.search_pattern),
        ] {
            if text.as_ref().is_some_and(|text| text.chars().count() > 256) {
                return Err(Invalid::new(field, "has more than 256 characters"));
            }
        }
        let component = self.component.as_deref().map(component).transpose()?;
        let includes = few("includes", self.includes)?;
        let excludes = few("excludes", self.excludes)?;
        Ok(LogQuery {
            start: Some(Timestamp::from_millis(start)),
            end: Some(Timestamp::from_millis(end)),
            limit: limit as usize,
            ascending,
            min_level: self.min_level,
            replica: self.replica,
            request_id: self.request_id,
            component,
            search_pattern: self.search_pattern.filter(|pattern| !pattern.is_empty()),
            includes,
            excludes,
            ..LogQuery::default()
        })
    }
}

fn level(text: &str) -> Result<LogLevel, Invalid> {
    match text {
        "DEBUG" => Ok(LogLevel::Debug),
        "INFO" => Ok(LogLevel::Info),
        "WARNING" => Ok(LogLevel::Warning),
        "ERROR" => Ok(LogLevel::Error),
        other => {
            Err(Invalid::new("min_level", format!("`{other}` is not one of DEBUG, INFO, WARNING, ERROR")))
        }
    }
}

fn component(text: &str) -> Result<LogSource, Invalid> {
    LogSource::parse(text).ok_or_else(|| {
        let known = LogSource::ALL.map(LogSource::as_str).join(", ");
        Invalid::new("component", format!("`{}` is not one of {known}", shortened(text)))
    })
}

/// A text that is refused, so far as a sentence holds it.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(64).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn few(field: &str, texts: Option<Vec<String>>) -> Result<Vec<String>, Invalid> {
    let texts = texts.unwrap_or_default();
    if texts.len() > 8 || texts.iter().any(|text| text.chars().count() > 256) {
        return Err(Invalid::new(field, "takes at most 8 texts of at most 256 characters"));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_bare_request_means_the_last_half_hour_newest_first() {
        let query = LogsRequest::default().query(NOW).unwrap();
        assert_eq!((query.start, query.end), (Some(NOW.plus(-HALF_HOUR)), Some(NOW)));
        assert_eq!((query.limit, query.ascending), (500, false));
    }

    #[test]
    fn bounds_are_refused_by_field() {
        let field = |given: &[(&str, &str)]| {
            LogsRequest::from_pairs(pairs(given)).and_then(|request| request.query(NOW)).unwrap_err().field
        };
        assert_eq!(field(&[("limit", "0")]), "limit");
        assert_eq!(field(&[("limit", "x")]), "limit");
        let refused = LogsRequest::from_pairs(pairs(&[("limit", "1001")])).unwrap_err();
        assert_eq!(refused.to_string(), "limit: 1001 is not within 1 to 1000");
        assert_eq!(field(&[("direction", "up")]), "direction");
        assert_eq!(field(&[("min_level", "LOUD")]), "min_level");
        assert_eq!(field(&[("start_epoch_millis", "0")]), "start_epoch_millis");
        assert_eq!(field(&[("nonsense", "0")]), "nonsense");
        assert_eq!(field(&[("component", "sidecar")]), "component");
        assert_eq!(field(&[("includes", "x"); 9]), "includes");
    }

    #[test]
    fn a_component_is_asked_for_by_its_name() {
        let ask = |name: &str| {
            LogsRequest::from_pairs(pairs(&[("component", name)])).and_then(|request| request.query(NOW))
        };
        for source in LogSource::ALL {
            assert_eq!(ask(source.as_str()).unwrap().component, Some(source));
        }
        let unknown = ask("sidecar").unwrap_err();
        assert_eq!(unknown.to_string(), "component: `sidecar` is not one of build, platform, replica");
        assert!(ask(&"x".repeat(10_000)).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn a_window_beyond_all_numbers_is_no_overflow() {
        let extreme = LogsRequest {
            start_epoch_millis: Some(i64::MIN),
            end_epoch_millis: Some(i64::MAX),
            ..LogsRequest::default()
        };
        assert!(extreme.query(NOW).is_err());
    }
}

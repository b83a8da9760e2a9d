//! Where somebody who follows an environment's log is (semantics: Logs).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::environment_log::nanos;
use crate::{Attachment, DeploymentId, Invalid, LogQuery, Timestamp, parse_id};

/// Up to where each log was read. One moment is not enough for several logs: what is written to two of them at about the same
/// time is found in either order. As text it is a number, with the logs that are elsewhere behind it: `17~abcdefg.23`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LogPlaces {
    /// Every log that is not named was read up to this nanosecond.
    rest: i64,
    named: Vec<(DeploymentId, i64)>,
}

impl LogPlaces {
    /// All logs were read up to this nanosecond; the only log there is, where it is a deployment's own.
    pub fn at(nanos: i64) -> Self {
        Self { rest: nanos, named: Vec::new() }
    }

    /// Up to which nanosecond those that are not named were read.
    pub fn rest(&self) -> i64 {
        self.rest
    }

    /// The furthest place.
    pub fn furthest(&self) -> i64 {
        self.named.iter().fold(self.rest, |furthest, (_, place)| furthest.max(*place))
    }

    /// Up to which nanosecond a deployment's log was read.
    pub fn of(&self, deployment: &str) -> i64 {
        let named = self.named.iter().find(|(id, _)| id.as_str() == deployment);
        named.map_or(self.rest, |(_, place)| *place)
    }

    /// A deployment's log was read up to this nanosecond, too.
    pub fn go_on(&mut self, deployment: &DeploymentId, nanos: i64) {
        match self.named.iter_mut().find(|(id, _)| id == deployment) {
            Some((_, place)) => *place = nanos.max(*place),
            None => self.named.push((deployment.clone(), nanos)),
        }
    }

    /// What to ask for what comes to a deployment's log while it is attached.
    pub fn question(&self, one: &Attachment, query: &LogQuery) -> LogQuery {
        let after = self.of(one.deployment.as_str());
        one.within(&LogQuery { after_nanos: Some(after), ..query.clone() })
    }

    /// Once all logs were read: forgets those of deployments that had left by a moment that is long enough ago for nothing to be
    /// written there any more.
    pub fn forget_before(&mut self, moment: Timestamp, attached: &[Attachment]) {
        self.rest = self.rest.max(nanos(moment));
        let rest = self.rest;
        self.named.retain(|(id, _)| {
            let mut times = attached.iter().filter(|one| &one.deployment == id);
            times.any(|one| one.to.is_none_or(|to| nanos(to) > rest))
        });
    }
}

impl fmt::Display for LogPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rest)?;
        self.named.iter().try_for_each(|(id, place)| write!(f, "~{id}.{place}"))
    }
}

impl FromStr for LogPlaces {
    type Err = Invalid;

    /// # Errors
    /// It is not what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refused =
            || Invalid::new("after", "is not a place in a log; leave it out to begin with the first line");
        let number = |text: &str| text.parse::<i64>().map_err(|_| refused());
        let mut parts = text.split('~');
        let mut places = Self::at(number(parts.next().unwrap_or_default())?);
        for part in parts {
            let (id, place) = part.split_once('.').unwrap_or((part, ""));
            places.named.push((DeploymentId::new(parse_id("after", id)?), number(place)?));
        }
        Ok(places)
    }
}

impl From<LogPlaces> for String {
    fn from(places: LogPlaces) -> Self {
        places.to_string()
    }
}

impl TryFrom<String> for LogPlaces {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeploymentId {
        DeploymentId::new(text)
    }

    fn places(text: &str) -> LogPlaces {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["0", "17", "17~a.23", "17~a.23~b.-4"] {
            assert_eq!(places(text).to_string(), text);
        }
        let too_large = "1~a.99999999999999999999";
        for text in ["", "x", "17~", "17~a", "17~a.", "17~a.x", "17~.3", "17~a b.3", too_large] {
            assert!(text.parse::<LogPlaces>().is_err_and(|invalid| invalid.field == "after"), "{text}");
        }
        let json = serde_json::to_string(&places("17~a.23")).unwrap();
        assert_eq!(json, "\"17~a.23\"");
        assert_eq!(serde_json::from_str::<LogPlaces>(&json).unwrap(), places("17~a.23"));
    }

    #[test]
    fn each_log_has_a_place_of_its_own() {
        let mut read = LogPlaces::at(10);
        assert_eq!((read.of("a"), read.furthest()), (10, 10));
        read.go_on(&id("a"), 20);
        read.go_on(&id("a"), 15);
        assert_eq!((read.of("a"), read.of("b"), read.furthest()), (20, 10, 20), "nobody reads back");
    }

    #[test]
    fn what_is_asked_of_a_log_begins_at_its_place_and_within_its_time() {
        let one = Attachment {
            deployment: id("a"),
            from: Timestamp::from_millis(5),
            to: Some(Timestamp::from_millis(9)),
        };
        let asked = |text: &str| places(text).question(&one, &LogQuery { limit: 7, ..LogQuery::default() });
        let new = asked("3");
        assert_eq!((new.after_nanos, new.before_nanos, new.limit), (Some(4_999_999), Some(9_000_000), 7));
        assert_eq!(asked("3~a.6000000").after_nanos, Some(6_000_000));
    }

    #[test]
    fn deployments_that_left_are_forgotten_once_they_are_read() {
        let one = |name: &str, to: Option<i64>| Attachment {
            deployment: id(name),
            from: Timestamp::default(),
            to: to.map(Timestamp::from_millis),
        };
        let attached = [one("now", None), one("left", Some(9)), one("back", Some(9)), one("back", None)];
        let read = places("1~now.50~left.60~back.70~gone.80");
        let forgot = |moment: i64| {
            let mut read = read.clone();
            read.forget_before(Timestamp::from_millis(moment), &attached);
            read.to_string()
        };
        assert_eq!(forgot(8), "8000000~now.50~left.60~back.70", "one that was deleted at once");
        assert_eq!(forgot(9), "9000000~now.50~back.70");
        assert_eq!(forgot(-9), "1~now.50~left.60~back.70");
    }
}

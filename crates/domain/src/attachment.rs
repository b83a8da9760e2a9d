//! From when until when each deployment was attached to an environment (semantics: Environments).

use crate::{DeploymentId, Environment, Phase, Promotion, Timestamp};

/// The time that a deployment was attached to an environment: it served it, or a promotion brought it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub deployment: DeploymentId,
    pub from: Timestamp,
    /// `None` while it is attached.
    pub to: Option<Timestamp>,
}

impl Attachment {
    /// Whether it was attached at a moment; it is not any more at that of its end.
    pub fn is_at(&self, moment: Timestamp) -> bool {
        self.from <= moment && self.to.is_none_or(|to| moment < to)
    }
}

/// What served an environment before any of these promotions succeeded.
///
/// `promotions` are those that began since a moment and the last one before, in any order.
pub fn served_first<'a>(
    environment: &'a Environment,
    promotions: &'a [Promotion],
) -> Option<&'a DeploymentId> {
    let succeeded = own(environment, promotions).filter(|promotion| promotion.phase == Phase::Succeeded);
    match succeeded.min_by_key(|promotion| promotion.started_at) {
        Some(first) => first.previous.as_ref(),
        None => environment.current.as_ref(),
    }
}

/// Who was attached to an environment since `since`, and when; no time of one deployment is in it twice.
///
/// `promotions` are as for [`served_first`]; what that names was attached from `first_from`, or for longer than anybody asks.
pub fn attachments(
    environment: &Environment,
    promotions: &[Promotion],
    first_from: Option<Timestamp>,
    since: Timestamp,
) -> Vec<Attachment> {
    let mut ran: Vec<&Promotion> = own(environment, promotions).collect();
    ran.sort_by_key(|promotion| promotion.started_at);
    let mut all = Vec::new();
    let mut serving = served_first(environment, promotions).map(|id| (id, first_from.unwrap_or(since)));
    for promotion in ran {
        let begun = (&promotion.candidate, promotion.started_at);
        match promotion.phase {
            Phase::Succeeded => {
                let before = serving.replace(begun);
                all.extend(before.map(|before| (before, promotion.ended_at)));
            }
            _ => all.push((begun, promotion.ended_at)),
        }
    }
    all.extend(serving.map(|serving| (serving, None)));
    all.into_iter()
        .filter(|(_, to)| to.is_none_or(|to| to > since))
        .map(|((deployment, from), to)| Attachment { deployment: deployment.clone(), from, to })
        .collect()
}

/// Without those of an environment of the same name that was here before.
fn own<'a>(environment: &'a Environment, promotions: &'a [Promotion]) -> impl Iterator<Item = &'a Promotion> {
    promotions.iter().filter(move |promotion| promotion.started_at >= environment.created_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvironmentName, ModelId, PromotionId, Strategy};

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn promotion(
        candidate: &str,
        previous: Option<&str>,
        began: i64,
        end: Option<(Phase, i64)>,
    ) -> Promotion {
        let environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), at(began));
        let (id, candidate) = (PromotionId::new(candidate), DeploymentId::new(candidate));
        Promotion {
            previous: previous.map(DeploymentId::new),
            phase: end.map_or(Phase::RampingUp, |(phase, _)| phase),
            ended_at: end.map(|(_, ended)| at(ended)),
            ..Promotion::new(id, &environment, candidate, Strategy::Direct, "ada", at(began), at(began))
        }
    }

    fn serving(current: &str) -> Environment {
        let mut environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), at(0));
        environment.current = Some(DeploymentId::new(current));
        environment
    }

    fn told(all: &[Attachment]) -> Vec<(&str, i64, Option<i64>)> {
        let mut told = Vec::new();
        for one in all {
            told.push((one.deployment.as_str(), one.from.millis(), one.to.map(Timestamp::millis)));
        }
        told
    }

    #[test]
    fn both_sides_of_a_promotion_are_attached_while_it_runs_and_one_of_them_afterwards() {
        let promotions = [
            promotion("c", Some("b"), 700, None),
            promotion("b", Some("a"), 100, Some((Phase::Succeeded, 200))),
            promotion("x", Some("b"), 300, Some((Phase::Canceled, 400))),
            // Of an environment of this name that was here before.
            promotion("old", None, -50, Some((Phase::Succeeded, -40))),
        ];
        let environment = serving("b");
        assert_eq!(served_first(&environment, &promotions), Some(&DeploymentId::new("a")));
        assert_eq!(
            told(&attachments(&environment, &promotions, Some(at(30)), at(20))),
            [("a", 30, Some(200)), ("x", 300, Some(400)), ("c", 700, None), ("b", 100, None)]
        );
        let later = attachments(&environment, &promotions, None, at(500));
        assert_eq!(told(&later), [("c", 700, None), ("b", 100, None)], "what was over by then is not told");
    }

    #[test]
    fn what_comes_back_is_attached_twice_and_not_in_between() {
        let promotions = [
            promotion("b", Some("a"), 100, Some((Phase::Succeeded, 200))),
            promotion("a", Some("b"), 300, Some((Phase::Succeeded, 400))),
        ];
        assert_eq!(
            told(&attachments(&serving("a"), &promotions, None, at(10))),
            [("a", 10, Some(200)), ("b", 100, Some(400)), ("a", 300, None)]
        );
        let all = attachments(&serving("a"), &promotions, None, at(10));
        let when = [9, 10, 199, 200, 300, 9_000]
            .map(|moment| all.iter().any(|one| one.deployment.as_str() == "a" && one.is_at(at(moment))));
        assert_eq!(when, [false, true, true, false, true, true]);
    }

    #[test]
    fn without_a_promotion_it_is_what_serves() {
        assert_eq!(told(&attachments(&serving("a"), &[], None, at(10))), [("a", 10, None)]);
        let mut empty = serving("a");
        empty.current = None;
        assert!(attachments(&empty, &[], None, at(10)).is_empty());
    }
}

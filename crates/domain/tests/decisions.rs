//! Scaling decisions against their independent check, which is itself shown planted mistakes.

#![allow(clippy::unwrap_used)]

use domain::{AutoscalingSettings, Limit, ScaleDecision, Scaler, Timestamp, check_decision, decide};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn settings(dice: &mut Dice) -> AutoscalingSettings {
    let min_replica = dice.below(4) as u32;
    AutoscalingSettings {
        min_replica,
        max_replica: min_replica.max(1) + dice.below(20) as u32,
        autoscaling_window: 10 + dice.below(60) as u32,
        scale_down_delay: dice.below(120) as u32,
        concurrency_target: 1 + dice.below(30) as u32,
        target_utilization_percentage: 1 + dice.below(100) as u32,
        max_scale_down_rate: 1 + dice.below(50) as u32,
    }
}

#[test]
fn every_decision_follows_from_its_inputs() {
    let mut dice = Dice(7);
    let mut limits = std::collections::BTreeSet::new();
    let mut stopped_together = 0;
    for _ in 0..400 {
        let mut settings = settings(&mut dice);
        let (mut scaler, mut current, mut at) = (Scaler::default(), dice.below(6) as u32, 0);
        let (mut idle_since, mut lull) = (None, 0_u32);
        for _ in 0..200 {
            at += 100 + dice.below(20_000) as i64;
            // For a while nothing comes.
            lull = if dice.below(40) == 0 { 25 } else { lull.max(1) - 1 };
            let load = if lull > 0 || dice.below(3) == 0 { 0 } else { dice.below(300) as u32 };
            let floor = if lull == 0 && dice.below(8) == 0 { dice.below(25) as u32 } else { 0 };
            let arrived = if lull == 0 && dice.below(4) == 0 { dice.below(50) } else { 0 };
            if dice.below(40) == 0 {
                settings = self::settings(&mut dice);
            }
            scaler.sample(at, load, settings.autoscaling_window);
            scaler.note_arrivals(arrived);
            let decision = decide(&mut scaler, &settings, current, floor, Timestamp::from_millis(at), at);
            let wrong = check_decision(&decision, floor, &settings);
            assert!(wrong.is_empty(), "{wrong:?}\n{decision:?}\nfloor {floor} {settings:?}");
            let is_idle = current > 0 && decision.wanted == 0 && settings.min_replica == 0 && floor == 0;
            idle_since = if is_idle { idle_since.or(Some(at)) } else { None };
            assert_eq!(decision.idle_since, idle_since, "{decision:?}");
            assert!(decision.look_again.is_none_or(|again| again > at), "{decision:?}");
            limits.insert(format!("{:?}", decision.limit));
            stopped_together += u32::from(current > 1 && decision.applied == 0);
            current = decision.applied;
        }
    }
    let all = ["Delay", "Floor", "Maximum", "Minimum", "None", "Rate"];
    assert_eq!(limits.into_iter().collect::<Vec<_>>(), all, "each limit was met");
    assert!(stopped_together > 0, "more than one stopped at once");
}

fn ten() -> AutoscalingSettings {
    AutoscalingSettings { max_replica: 10, concurrency_target: 10, ..AutoscalingSettings::default() }
}

fn up() -> ScaleDecision {
    ScaleDecision {
        at: Timestamp::from_millis(0),
        monotonic: 1_000_000,
        average_load: 25.0,
        instant_load: 25,
        arrived: 0,
        current: 1,
        wanted: 4,
        applied: 4,
        limit: Limit::None,
        low_since: None,
        idle_since: None,
        young: false,
        look_again: None,
    }
}

fn down() -> ScaleDecision {
    ScaleDecision {
        average_load: 0.0,
        instant_load: 0,
        current: 8,
        wanted: 0,
        applied: 4,
        limit: Limit::Rate,
        low_since: Some(100_000),
        idle_since: Some(100_001),
        ..up()
    }
}

fn to_zero() -> ScaleDecision {
    ScaleDecision { applied: 0, limit: Limit::None, idle_since: Some(100_000), ..down() }
}

/// A maximum of ten, and nine too many.
fn over() -> ScaleDecision {
    ScaleDecision { current: 19, applied: 10, limit: Limit::Maximum, ..down() }
}

type Plant = fn(&mut ScaleDecision);

#[test]
fn planted_mistakes_are_found() {
    assert_eq!(check_decision(&up(), 0, &ten()), Vec::<String>::new());
    assert_eq!(check_decision(&down(), 0, &ten()), Vec::<String>::new());
    assert_eq!(check_decision(&to_zero(), 0, &ten()), Vec::<String>::new());
    assert_eq!(check_decision(&over(), 0, &ten()), Vec::<String>::new());
    let planted: [(&str, ScaleDecision, u32, Plant); 23] = [
        ("too few by the formula", up(), 0, |d| (d.wanted, d.applied) = (3, 3)),
        ("too many by the formula", up(), 0, |d| (d.wanted, d.applied) = (5, 5)),
        ("not what was wanted", up(), 0, |d| d.applied = 3),
        ("above the maximum", up(), 0, |d| (d.average_load, d.wanted, d.applied) = (84.0, 12, 12)),
        ("the maximum not named", up(), 0, |d| (d.average_load, d.wanted, d.applied) = (84.0, 12, 10)),
        ("below the floor", up(), 6, |_| {}),
        ("another limit named", up(), 0, |d| d.limit = Limit::Minimum),
        ("one request not seen", up(), 0, |d| (d.average_load, d.wanted, d.applied) = (0.0, 0, 1)),
        ("what came between two looks not seen", down(), 0, |d| d.arrived = 1),
        ("before the delay", down(), 0, |d| d.low_since = Some(100_001)),
        ("since when is lost", down(), 0, |d| d.low_since = None),
        ("faster than the rate", down(), 0, |d| d.applied = 3),
        ("slower than the rate", down(), 0, |d| d.applied = 5),
        ("below the floor on the way down", down(), 5, |_| {}),
        ("since when nothing comes is lost", down(), 0, |d| d.idle_since = None),
        ("idle though one is needed", down(), 1, |_| {}),
        ("all at once before nothing came for the delay", to_zero(), 0, |d| d.idle_since = Some(100_001)),
        ("by the rate though nothing came for the delay", to_zero(), 0, |d| {
            (d.applied, d.limit) = (4, Limit::Rate);
        }),
        ("kept though nothing came for the delay", to_zero(), 0, |d| {
            (d.applied, d.limit) = (8, Limit::Delay);
        }),
        ("the last one for low load alone", to_zero(), 0, |d| (d.current, d.idle_since) = (1, Some(100_001))),
        ("a young one put to sleep", to_zero(), 0, |d| (d.current, d.young) = (1, true)),
        ("below the maximum at once", over(), 0, |d| d.applied = 9),
        ("a lower maximum not named", over(), 0, |d| d.limit = Limit::None),
    ];
    for (what, mut decision, floor, plant) in planted {
        plant(&mut decision);
        assert!(!check_decision(&decision, floor, &ten()).is_empty(), "{what} was not found: {decision:?}");
    }
}

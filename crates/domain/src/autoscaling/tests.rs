//! Replicas follow the load: up at once, down by steps, and to none once nothing comes.

use super::*;

fn settings() -> AutoscalingSettings {
    AutoscalingSettings { max_replica: 10, concurrency_target: 10, ..AutoscalingSettings::default() }
}

fn at(scaler: &mut Scaler, settings: &AutoscalingSettings, current: u32, ms: i64) -> ScaleDecision {
    decide(scaler, settings, current, 0, Timestamp::from_millis(ms), ms)
}

/// After a minute of 56 in flight, which need eight.
fn busy(settings: &AutoscalingSettings) -> Scaler {
    let mut scaler = Scaler::default();
    for second in 0..60 {
        scaler.sample(second * 1000, 56, settings.autoscaling_window);
    }
    scaler
}

#[test]
fn twenty_five_in_flight_at_ten_and_seventy_percent_need_four() {
    assert_eq!(replicas_for(25.0, &settings()), 4);
    assert_eq!(replicas_for(0.0, &settings()), 0);
    assert_eq!(replicas_for(7.0, &settings()), 1);
    assert_eq!(replicas_for(7.1, &settings()), 2);
}

#[test]
fn load_scales_up_at_once_and_down_by_the_rate_after_the_delay() {
    let settings = settings();
    let mut scaler = busy(&settings);
    assert_eq!(at(&mut scaler, &settings, 1, 60_000).applied, 8);
    scaler.sample(60_000, 1, settings.autoscaling_window);
    let waiting = at(&mut scaler, &settings, 8, 130_000);
    assert_eq!((waiting.applied, waiting.limit), (8, Limit::Delay));
    let first = at(&mut scaler, &settings, 8, 130_000 + 900_000);
    assert_eq!((first.applied, first.limit, first.idle_since), (4, Limit::Rate, None));
    assert_eq!(at(&mut scaler, &settings, 4, 130_000 + 900_500).applied, 4);
    assert_eq!(at(&mut scaler, &settings, 4, 130_000 + 1_800_000).applied, 2);
    assert_eq!(at(&mut scaler, &settings, 2, 130_000 + 2_700_000).applied, 1);
    assert_eq!(at(&mut scaler, &settings, 1, 130_000 + 3_600_000).applied, 1);
}

#[test]
fn without_any_traffic_all_stop_together_after_the_delay() {
    let settings = settings();
    let mut scaler = busy(&settings);
    scaler.sample(60_000, 0, settings.autoscaling_window);
    let waiting = at(&mut scaler, &settings, 8, 130_000);
    assert_eq!((waiting.applied, waiting.limit), (8, Limit::Delay));
    assert_eq!((waiting.idle_since, waiting.look_again), (Some(130_000), Some(1_030_000)));
    assert_eq!(at(&mut scaler, &settings, 8, 1_029_999).applied, 8);
    let last = at(&mut scaler, &settings, 8, 1_030_000);
    assert_eq!((last.applied, last.limit), (0, Limit::None));
}

#[test]
fn low_load_and_no_load_are_timed_on_their_own() {
    let settings = settings();
    let mut scaler = busy(&settings);
    scaler.sample(60_000, 1, settings.autoscaling_window);
    assert_eq!(at(&mut scaler, &settings, 8, 130_000).look_again, Some(1_030_000));
    scaler.sample(700_000, 0, settings.autoscaling_window);
    let idle = at(&mut scaler, &settings, 8, 760_000);
    assert_eq!((idle.idle_since, idle.look_again), (Some(760_000), Some(1_030_000)));
    let step = at(&mut scaler, &settings, 8, 1_030_000);
    assert_eq!((step.applied, step.limit, step.look_again), (4, Limit::Rate, Some(1_660_000)));
    assert_eq!(at(&mut scaler, &settings, 4, 1_659_999).limit, Limit::Delay);
    assert_eq!(at(&mut scaler, &settings, 4, 1_660_000).applied, 0);
}

#[test]
fn what_a_minimum_or_a_promotion_keeps_is_not_idle() {
    let settings = settings();
    let kept = AutoscalingSettings { min_replica: 2, ..settings.clone() };
    let mut scaler = Scaler::default();
    scaler.sample(0, 0, settings.autoscaling_window);
    assert_eq!(at(&mut scaler, &settings, 4, 0).idle_since, Some(0));
    assert_eq!(at(&mut scaler, &kept, 4, 800_000).idle_since, None);
    let promoted = decide(&mut scaler, &settings, 4, 1, Timestamp::from_millis(850_000), 850_000);
    assert_eq!(promoted.idle_since, None);
    assert_eq!(at(&mut scaler, &settings, 4, 899_000).idle_since, Some(899_000));
}

#[test]
fn the_last_one_stays_until_nothing_came_for_the_whole_delay() {
    let settings = settings();
    let mut scaler = Scaler::default();
    scaler.sample(0, 1, settings.autoscaling_window);
    assert_eq!(at(&mut scaler, &settings, 2, 0).low_since, Some(0));
    scaler.sample(800_000, 0, settings.autoscaling_window);
    // One of the two was taken by a lower maximum.
    let alone = at(&mut scaler, &settings, 1, 900_000);
    assert_eq!((alone.applied, alone.limit, alone.look_again), (1, Limit::Delay, Some(1_800_000)));
    assert_eq!(at(&mut scaler, &settings, 1, 1_800_000).applied, 0);
}

#[test]
fn a_lower_maximum_counts_at_once() {
    let settings = settings();
    let lower = AutoscalingSettings { max_replica: 5, max_scale_down_rate: 1, ..settings.clone() };
    let mut scaler = busy(&settings);
    let lowered = at(&mut scaler, &lower, 8, 60_000);
    assert_eq!((lowered.applied, lowered.limit), (5, Limit::Maximum));
}

#[test]
fn recovery_resets_the_delay() {
    let settings = settings();
    let mut scaler = Scaler::default();
    scaler.sample(0, 14, 60);
    scaler.sample(60_000, 0, 60);
    assert_eq!(at(&mut scaler, &settings, 2, 121_000).limit, Limit::Delay);
    scaler.sample(500_000, 200, 60);
    assert!(at(&mut scaler, &settings, 2, 560_000).applied > 2);
    scaler.sample(561_000, 0, 60);
    assert_eq!(at(&mut scaler, &settings, 10, 1_100_000).limit, Limit::Delay);
}

#[test]
fn a_single_request_wakes_one_replica() {
    let mut scaler = Scaler::default();
    scaler.sample(0, 0, 60);
    scaler.sample(59_999, 1, 60);
    assert_eq!(at(&mut scaler, &settings(), 0, 60_000).applied, 1);
}

#[test]
fn requests_too_short_to_be_seen_keep_the_last_replica() {
    let settings = settings();
    let mut scaler = Scaler::default();
    let mut look = |seconds: i64, requests: u64, current: u32| {
        scaler.sample(seconds * 1000, 0, settings.autoscaling_window);
        scaler.note_arrivals(requests);
        at(&mut scaler, &settings, current, seconds * 1000)
    };
    for second in (0..3_600).step_by(2) {
        let decision = look(second, 20, 1);
        assert_eq!((decision.applied, decision.wanted, decision.arrived), (1, 1, 20), "at {second} s");
        assert_eq!((decision.average_load, decision.low_since), (0.0, None));
    }
    // From the first look on that finds none, the delay runs.
    assert_eq!(look(3_600, 0, 1).low_since, Some(3_600_000));
    assert_eq!(look(3_600 + 899, 0, 1).applied, 1);
    assert_eq!(look(3_600 + 900, 0, 1).applied, 0);
}

#[test]
fn requests_too_short_to_be_seen_ask_for_no_more_than_one() {
    let settings = settings();
    let mut scaler = Scaler::default();
    let mut look = |seconds: i64, current: u32| {
        scaler.sample(seconds * 1000, 0, settings.autoscaling_window);
        scaler.note_arrivals(1_000);
        at(&mut scaler, &settings, current, seconds * 1000)
    };
    let waiting = look(0, 4);
    assert_eq!((waiting.wanted, waiting.applied, waiting.limit), (1, 4, Limit::Delay));
    assert_eq!(look(900, 4).applied, 2);
    assert_eq!(look(1_800, 2).applied, 1);
    assert_eq!(look(9_000, 1).applied, 1);
}

#[test]
fn what_came_before_the_last_sample_does_not_count_again() {
    let mut scaler = Scaler::default();
    scaler.sample(0, 0, 60);
    scaler.note_arrivals(5);
    scaler.sample(1_000, 0, 60);
    let decision = at(&mut scaler, &settings(), 1, 1_000);
    assert_eq!((decision.arrived, decision.wanted, decision.low_since), (0, 0, Some(1_000)));
}

#[test]
fn refusals_name_the_field_and_its_range() {
    let patch = AutoscalingPatch { autoscaling_window: Some(5), ..AutoscalingPatch::default() };
    let refusal = AutoscalingSettings::default().patched(&patch).unwrap_err();
    assert_eq!(refusal.to_string(), "autoscaling_window: 5 is not within 10 to 3600");
    let patch = AutoscalingPatch { min_replica: Some(4), ..AutoscalingPatch::default() };
    assert_eq!(AutoscalingSettings::default().patched(&patch).unwrap_err().field, "min_replica");
}

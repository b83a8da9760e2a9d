//! Thirty shapes of traffic on simulated time: replicas follow, and never oscillate.
//!
//! What is asked of each:
//! - **enough**: where load needs more replicas than are ready, that lasts no longer than the window, which load is
//!   averaged over, and a start together;
//! - **calm**: the number of replicas changes its direction no more often than the need itself does, and replicas are
//!   removed no sooner than the delay after the last were added or removed, or, where all stop, after the last load;
//! - **settled**: once traffic has been the same for long enough, nothing changes any more, and what is there is what the
//!   formula wants, neither more nor less;
//! - each decision follows from its inputs.

#![allow(clippy::unwrap_used)]

use std::f64::consts::TAU;

use domain::{AutoscalingSettings, Scaler, Timestamp, check_decision, decide, replicas_for};

/// Seconds.
const WINDOW: i64 = 60;
const DELAY: i64 = 120;
const START: i64 = 8;
const SAMPLE: i64 = 2;
/// A shape's own length, and how long its last value is kept up after it.
const SHAPE: i64 = 1_800;
const QUIET: i64 = 1_500;

fn settings() -> AutoscalingSettings {
    AutoscalingSettings {
        min_replica: 0,
        max_replica: 40,
        autoscaling_window: WINDOW as u32,
        scale_down_delay: DELAY as u32,
        concurrency_target: 10,
        target_utilization_percentage: 70,
        max_scale_down_rate: 50,
    }
}

/// A number between 0 and 1 for a moment and a seed, the same each time.
fn noise(seed: u64, at: i64) -> f64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (at as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 30)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Steps of one up or down, each ten seconds.
fn walk(seed: u64, from: f64, at: i64) -> f64 {
    (0..at / 10).fold(from, |load, step| (load + 12.0 * (noise(seed, step) - 0.5)).clamp(0.0, 200.0))
}

type Shape = (&'static str, fn(i64) -> f64);

/// Concurrent requests at a second. A replica carries seven.
const SHAPES: [Shape; 30] = [
    ("nothing", |_| 0.0),
    ("one request all the time", |_| 1.0),
    ("constant", |_| 25.0),
    ("constant at a threshold", |_| 28.0),
    ("a step up", |t| if t < 600 { 5.0 } else { 100.0 }),
    ("a step from nothing", |t| if t < 600 { 0.0 } else { 60.0 }),
    ("a step down", |t| if t < 600 { 100.0 } else { 5.0 }),
    ("a step to nothing", |t| if t < 600 { 100.0 } else { 0.0 }),
    ("steps up", |t| (t / 300 + 1) as f64 * 15.0),
    ("steps down", |t| (6 - t / 300) as f64 * 15.0),
    ("a ramp up", |t| t as f64 / 10.0),
    ("a ramp down", |t| (SHAPE - t) as f64 / 10.0),
    ("up and down again", |t| (900 - (t - 900).abs()) as f64 / 5.0),
    ("a slow wave", |t| 60.0 + 50.0 * (TAU * t as f64 / 1_800.0).sin()),
    ("a wave of ten minutes", |t| 60.0 + 50.0 * (TAU * t as f64 / 600.0).sin()),
    ("a wave as long as the delay", |t| 60.0 + 50.0 * (TAU * t as f64 / 120.0).sin()),
    ("a wave as long as the window", |t| 60.0 + 50.0 * (TAU * t as f64 / 60.0).sin()),
    ("a quick wave", |t| 60.0 + 50.0 * (TAU * t as f64 / 14.0).sin()),
    ("a small wave at a threshold", |t| 28.0 + 3.0 * (TAU * t as f64 / 200.0).sin()),
    ("a burst", |t| if (600..660).contains(&t) { 150.0 } else { 10.0 }),
    ("a burst of a moment", |t| if (600..604).contains(&t) { 150.0 } else { 10.0 }),
    ("bursts each five minutes", |t| if t % 300 < 30 { 120.0 } else { 10.0 }),
    ("bursts each minute", |t| if t % 60 < 6 { 120.0 } else { 10.0 }),
    ("on and off, shorter than the delay", |t| if t % 100 < 50 { 50.0 } else { 0.0 }),
    ("on and off, longer than the delay", |t| if t % 800 < 400 { 50.0 } else { 0.0 }),
    ("to and fro at a threshold", |t| if t % 40 < 20 { 27.0 } else { 29.0 }),
    ("a sawtooth", |t| (t % 450) as f64 / 4.0),
    ("noise", |t| 140.0 * noise(1, t)),
    ("a random walk", |t| walk(2, 60.0, t)),
    ("another random walk", |t| walk(3, 20.0, t)),
];

/// What a shape came to.
struct Run {
    /// Replicas wanted after each sample, from the first on.
    wanted: Vec<u32>,
    /// Replicas that the load of the moment needs at each sample, at the full target.
    needed: Vec<u32>,
    /// The longest time with fewer ready than needed, in seconds.
    short: i64,
    /// The least time between the last change before and a removal, or the last load and the stop of all, in seconds.
    soonest_removal: i64,
}

fn load(shape: &Shape, at: i64) -> u32 {
    (shape.1)(at.min(SHAPE)).round().max(0.0) as u32
}

fn play(shape: &Shape) -> Run {
    let settings = settings();
    let mut scaler = Scaler::default();
    let mut current = 0;
    let mut starting: Vec<i64> = Vec::new();
    let (mut short_since, mut changed_at, mut loaded_at) = (None, i64::MIN / 2, i64::MIN / 2);
    let mut run = Run { wanted: Vec::new(), needed: Vec::new(), short: 0, soonest_removal: i64::MAX };
    for at in (0..SHAPE + QUIET).step_by(SAMPLE as usize) {
        let load = load(shape, at);
        let ms = at * 1000;
        if load > 0 {
            loaded_at = at;
        }
        scaler.sample(ms, load, settings.autoscaling_window);
        let decision = decide(&mut scaler, &settings, current, 0, Timestamp::from_millis(ms), ms);
        let wrong = check_decision(&decision, 0, &settings);
        assert!(wrong.is_empty(), "{} at {at} s: {wrong:?}\n{decision:?}", shape.0);
        let applied = decision.applied;
        if applied > current {
            starting.extend(std::iter::repeat_n(at + START, (applied - current) as usize));
        } else if applied < current {
            let since = if applied == 0 { loaded_at } else { changed_at };
            run.soonest_removal = run.soonest_removal.min(at - since);
            starting.clear();
        }
        if applied != current {
            changed_at = at;
        }
        current = applied;
        starting.retain(|ready| *ready > at);
        let ready = current.saturating_sub(starting.len() as u32);
        let needed = load.div_ceil(settings.concurrency_target).min(settings.max_replica);
        if ready < needed {
            run.short = run.short.max(at - *short_since.get_or_insert(at));
        } else {
            short_since = None;
        }
        run.wanted.push(current);
        run.needed.push(needed);
    }
    run
}

/// How often a sequence turns from rising to falling or back.
fn turns(values: &[u32]) -> usize {
    let mut steps: Vec<bool> = values.windows(2).filter(|w| w[0] != w[1]).map(|w| w[1] > w[0]).collect();
    steps.dedup();
    steps.len().saturating_sub(1)
}

#[test]
fn replicas_follow_thirty_shapes_without_oscillating() {
    for shape in &SHAPES {
        let name = shape.0;
        let run = play(shape);
        assert!(run.short <= WINDOW + START + SAMPLE, "{name}: too few for {} s", run.short);
        assert!(run.soonest_removal >= DELAY, "{name}: removed {} s after a change", run.soonest_removal);
        // One more than the need: the formula aims at less than the full target, and rises from nothing at first.
        let (of_replicas, of_need) = (turns(&run.wanted), turns(&run.needed));
        assert!(of_replicas <= of_need + 1, "{name}: {of_replicas} turns for {of_need} of the need");
        let last = load(shape, SHAPE + QUIET);
        let settled = replicas_for(f64::from(last), &settings()).min(settings().max_replica);
        let tail = &run.wanted[run.wanted.len() - 60..];
        assert!(tail.iter().all(|wanted| *wanted == settled), "{name}: {settled} would do, not {tail:?}");
    }
}

/// Shapes whose load averages out within the window, or comes back within the delay: once what the first moments asked for
/// has been given back, at most half in each delay, the number of replicas stays what it is.
#[test]
fn load_that_comes_back_within_the_delay_changes_nothing() {
    let calm = [
        "constant at a threshold",
        "a wave as long as the window",
        "a quick wave",
        "to and fro at a threshold",
        "bursts each minute",
        "on and off, shorter than the delay",
    ];
    for name in calm {
        let shape = SHAPES.iter().find(|shape| shape.0 == name).unwrap();
        let during = &play(shape).wanted[((WINDOW + 6 * DELAY) / SAMPLE) as usize..(SHAPE / SAMPLE) as usize];
        let changes = during.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 0, "{name}: {changes} changes");
    }
}

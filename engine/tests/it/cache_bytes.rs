//! The cache's byte accounting against what the allocator was really asked for.
//! Counted per thread, so that other tests do not disturb it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use benzene_engine::cache::{Cache, CacheConfig, SeriesId, Standing, Strategy, Usage, Volume};
use benzene_engine::point::Point;

thread_local! {
    static HELD_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: i64) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    HELD_BYTES.with(|held| held.set(held.get() + sign * bytes));
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "a global allocator cannot be had without")]
// SAFETY: every call goes on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`, and `alloc` is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn cache(strategy: Strategy) -> Cache {
    Cache::new(CacheConfig {
        max_point_age_s: 60,
        recent_bytes_max: 1 << 24,
        waiting_bytes_max: u64::MAX,
        ..CacheConfig::new(strategy, benzene_engine::clock::now().instant)
    })
}

fn name(number: u32) -> String {
    format!(
        "collectd.host{:05}.cpu-{}.cpu-user.value",
        number / 8,
        number % 8
    )
}

/// A whole number below a million that looks like any other.
fn whole(number: u32, timestamp: u32) -> f64 {
    let mixed =
        (u64::from(number) << 32 | u64::from(timestamp)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u32::try_from((mixed >> 32) % 1_000_000).unwrap_or(0))
}

fn fill(cache: &mut Cache, series: u32, timestamps: impl Iterator<Item = u32>) {
    fill_with(cache, series, timestamps, |_, _| 0.5);
}

fn fill_with(
    cache: &mut Cache,
    series: u32,
    timestamps: impl Iterator<Item = u32>,
    value: impl Fn(u32, u32) -> f64,
) {
    for timestamp in timestamps {
        for number in 0..series {
            let value = value(number, timestamp);
            cache.insert(&name(number), Point { timestamp, value });
        }
    }
    while let Some(id) = cache.unproven_next(Volume::FIRST) {
        assert_eq!(cache.set_standing(id, Standing::Writable).total(), 0);
    }
}

/// The write order's choice among many, which takes several steps.
fn next(cache: &mut Cache) -> SeriesId {
    loop {
        if let Some(id) = cache.next(Volume::FIRST, 100) {
            return id;
        }
        assert!(cache.is_choosing(Volume::FIRST), "nobody is ready");
    }
}

#[track_caller]
fn assert_close(accounted: u64, before: i64, tolerance_percent: i64) {
    let real = HELD_BYTES.with(Cell::get) - before;
    let accounted = i64::try_from(accounted).unwrap_or(i64::MAX);
    assert!(
        (accounted - real).abs() * 100 <= real * tolerance_percent,
        "{accounted} bytes are accounted for, {real} are held"
    );
}

fn filled(strategy: Strategy, series: u32, timestamps: impl Iterator<Item = u32>) -> Usage {
    filled_with(strategy, series, timestamps, |_, _| 0.5)
}

fn filled_with(
    strategy: Strategy,
    series: u32,
    timestamps: impl Iterator<Item = u32>,
    value: impl Fn(u32, u32) -> f64,
) -> Usage {
    let before = HELD_BYTES.with(Cell::get);
    let mut cache = cache(strategy);
    fill_with(&mut cache, series, timestamps, value);
    let usage = cache.usage();
    assert_close(usage.bytes, before, 5);
    assert_close(usage.held_bytes, before, 5);
    usage
}

#[test]
fn ten_points_each() {
    let usage = filled_with(
        Strategy::Sorted,
        100_000,
        (0..10).map(|round| round * 10),
        whole,
    );
    assert!(usage.held_bytes <= 179 * 100_000, "{usage:?}");
}

#[test]
fn forty_points_each() {
    let rounds = (0..40).map(|round| round * 10);
    let usage = filled_with(Strategy::Sorted, 100_000, rounds, whole);
    assert!(usage.held_bytes < 7 * 40 * 100_000, "{usage:?}");
}

#[test]
fn one_point_each() {
    let usage = filled(Strategy::Sorted, 300_000, 0..1);
    let names: u64 = (0..300_000).map(|number| name(number).len() as u64).sum();
    assert!(usage.bytes < 100 * 300_000 + names, "{usage:?}");
}

#[test]
fn ranked_by_points() {
    filled(Strategy::BucketMax, 50_000, 0..4);
}

#[test]
fn late_points() {
    let before = HELD_BYTES.with(Cell::get);
    let mut cache = cache(Strategy::Naive);
    fill(&mut cache, 200, (1000..1100).chain((0..1000).rev()));
    assert_close(cache.usage().bytes, before, 15);
}

#[test]
fn written_and_forgotten() {
    let begin = benzene_engine::clock::now().instant;
    let before = HELD_BYTES.with(Cell::get);
    let mut cache = cache(Strategy::Sorted);
    fill(&mut cache, 60_000, 0..8);
    let full = cache.usage().held_bytes;
    assert_eq!(
        cache.next(Volume::FIRST, 100),
        None,
        "60,000 take more than a step"
    );
    next(&mut cache);
    assert_close(cache.usage().held_bytes, before, 5);
    let mut out = Vec::new();
    for _ in 0..50_000 {
        let id = next(&mut cache);
        out.clear();
        cache.take(id, &mut out);
        cache.written(id, begin);
    }
    drop(out);
    assert_close(cache.usage().held_bytes, before, 5);
    cache.expire(begin + Duration::from_secs(5));
    assert_close(cache.usage().held_bytes, before, 5);
    let turns = std::iter::from_fn(|| {
        // As the cache's owner does in each turn.
        cache.empty_forgotten();
        Some(cache.forget_idle(u64::MAX)).filter(|count| *count > 0)
    });
    assert_eq!(turns.sum::<u64>(), 50_000);
    assert_close(cache.usage().held_bytes, before, 5);
    assert!(cache.usage().held_bytes < full / 3);
}

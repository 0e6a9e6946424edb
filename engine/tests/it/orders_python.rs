//! The write orders against Python carbon's own (`carbon/cache.py` 1.1.10): the same stores, the same
//! moments of drains, and then the same metric with the same points, until all is drained.
//! Python makes the cases and prints what it did, and the cache does the same. Each drain is a write
//! that is done at once, for Python knows no other.
//! `bucketmax` is younger than that release, and `random` is any order: the cache's own tests have
//! the one by Python's text, and that the other reaches everybody.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::process::Command;

use benzene_engine::cache::{Cache, CacheConfig, SeriesId, Standing, Strategy, Volume};
use benzene_engine::clock;
use benzene_engine::point::Point;

const SCRIPT: &str = r#"
import random
from types import SimpleNamespace
from carbon.conf import settings
settings.MAX_CACHE_SIZE = float("inf")
settings.LOG_CACHE_QUEUE_SORTS = False
import carbon.cache as cache
now = [0]
cache.time = SimpleNamespace(time=lambda: now[0])
strategies = {"naive": cache.NaiveStrategy, "max": cache.MaxStrategy,
              "sorted": cache.SortedStrategy, "timesorted": cache.TimeSortedStrategy}

def drain(metrics):
    metric, points = metrics.drain_metric()
    print("drain", now[0], metric or "-", *[t for t, _ in points])
    return metric

for case in range(240):
    draw = random.Random(case)
    name = list(strategies)[case % 4]
    lag = draw.choice([0, 0, 5, 40]) if name == "timesorted" else 0
    settings.MIN_TIMESTAMP_LAG = lag
    now[0] = 1000
    metrics = cache._MetricCache(strategies[name])
    drains = draw.choice([0.05, 0.2, 0.5])
    print("case", name, lag)
    for _ in range(draw.randrange(20, 300)):
        if draw.random() < drains:
            drain(metrics)
        elif draw.random() < 0.05:
            now[0] += draw.randrange(20)
        else:
            metric, at = "m%d" % draw.randrange(12), now[0] - draw.choice([0, 1, 2, 3, 10, 30, -5])
            metrics.store(metric, (at, 1.0))
            print("store", metric, at)
    settings.MIN_TIMESTAMP_LAG = 0
    print("end")
    # The last snapshot with a lag may be used up first.
    while metrics:
        drain(metrics)
    print("drain", now[0], "-")
"#;

/// What Python did.
fn python_s_cases() -> String {
    let output = Command::new(benzene_fixtures::python().unwrap())
        .args(["-c", SCRIPT])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn cache(name: &str, lag: &str) -> Cache {
    let strategy = Strategy::from_name(name).unwrap();
    Cache::new(CacheConfig {
        timestamp_lag_s: lag.parse().unwrap(),
        max_point_age_s: 60,
        ..CacheConfig::new(strategy, clock::now().instant)
    })
}

/// The next update, carried out at once, in the words of Python's line.
fn drain(cache: &mut Cache, now: &str) -> String {
    let now = now.parse().unwrap();
    let next: Option<SeriesId> = loop {
        match cache.next(Volume::FIRST, now) {
            None if cache.is_choosing(Volume::FIRST) => {}
            next => break next,
        }
    };
    let Some(id) = next else {
        return "-".to_owned();
    };
    let mut points = Vec::new();
    cache.take(id, &mut points);
    let mut words = vec![cache.name(id).to_owned()];
    words.extend(points.iter().map(|point| point.timestamp.to_string()));
    cache.written(id, clock::now().instant);
    words.join(" ")
}

#[test]
fn drains_come_in_python_s_order() {
    let text = python_s_cases();
    let mut ours = cache("naive", "0");
    let (mut case, mut drains) = (String::new(), BTreeMap::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "case" => {
                ours = cache(words[1], words[2]);
                case.clear();
            }
            "store" => {
                let point = Point {
                    timestamp: words[2].parse().unwrap(),
                    value: 1.0,
                };
                let id = ours.insert(words[1], point).outcome.series();
                if ours.standing(id) == Standing::Unproven {
                    assert_eq!(ours.set_standing(id, Standing::Writable).total(), 0);
                }
            }
            "end" => ours.drain(),
            "drain" => {
                let found = drain(&mut ours, words[1]);
                assert_eq!(found, words[2..].join(" "), "after\n{case}");
                let strategy = case.split(' ').nth(1).unwrap_or_default().to_owned();
                *drains.entry(strategy).or_insert(0) += 1;
            }
            other => panic!("{other}"),
        }
        case += line;
        case.push('\n');
    }
    assert_eq!(drains.len(), 4);
    assert!(drains.values().all(|drains| *drains > 1000), "{drains:?}");
}

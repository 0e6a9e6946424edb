//! Series with more points than one update takes.

use super::super::Strategy;
use super::*;
use crate::limits::UPDATE_POINTS_MAX;

const NEXT: Volume = Volume::FIRST;
const POINTS: u32 = 33_000;
const _: () = assert!(POINTS > UPDATE_POINTS_MAX * 2);

/// A year of a metric that came at once, and one point of another one.
fn year(strategy: Strategy, began: Instant) -> (Cache, SeriesId, SeriesId) {
    let mut cache = Cache::new(CacheConfig {
        max_point_age_s: 60,
        recent_bytes_max: 1 << 30,
        ..CacheConfig::new(strategy, began)
    });
    for number in 0..POINTS {
        // Some are a little late, and every second hundred is very late.
        let number = number / 10 * 10 + (number + 9) % 10;
        let number = number / 200 * 200 + (number + 100) % 200;
        cache.insert("year", point(600 + 60 * number, f64::from(number)));
    }
    let id = cache.find("year").unwrap();
    let other = put(&mut cache, "other", 1);
    for id in [id, other] {
        stand(&mut cache, id, Standing::Writable);
    }
    (cache, id, other)
}

/// What an update takes, and where it ends.
fn take_whole(cache: &mut Cache, id: SeriesId) -> (Vec<Point>, Option<u32>) {
    let mut out = Vec::new();
    cache.take_whole(id, Some(300), 7, &mut out);
    let left = cache.left_behind(id);
    assert!(left.is_none_or(|left| left.mark == 7));
    (out, left.and_then(|left| left.cut))
}

/// What comes next is this series; where it is another one's turn, that is written first.
fn comes_next(cache: &mut Cache, id: SeriesId, now: Instant) -> bool {
    let next = cache.next(NEXT, 1 << 30);
    let Some(other) = next.filter(|next| *next != id) else {
        return next == Some(id);
    };
    take_whole(cache, other);
    cache.written(other, now);
    cache.next(NEXT, 1 << 30) == Some(id)
}

#[test]
fn what_one_update_does_not_take_is_written_next_in_order() {
    for strategy in Strategy::ALL {
        let began = begin();
        let (mut cache, id, other) = year(*strategy, began);
        let now = began + Duration::from_secs(2);
        cache.begin_turn(at(now));
        let mut all = Vec::new();
        loop {
            let (points, cut) = take_whole(&mut cache, id);
            assert!(points.len() <= UPDATE_POINTS_MAX as usize);
            if all.is_empty() {
                // One that comes meanwhile is older than what is in flight, and in no update yet.
                cache.insert("year", point(1, 7.0));
            }
            cache.written(id, now);
            all.extend(points);
            let Some(cut) = cut else {
                break;
            };
            assert!(all.last().unwrap().timestamp < cut && cut % 86_400 == 0);
            // What is left is as old as it was, and takes turns with what the order would choose.
            assert_eq!(cache.ages.stamp(id.0), 0, "{strategy:?}");
            assert!(comes_next(&mut cache, id, now), "{strategy:?}");
            assert!(cache.due(NEXT) > 0);
            let due = cache.next_due(NEXT, now);
            assert!(due.is_none_or(|due| due == now), "{strategy:?}");
        }
        let meanwhile = all.iter().position(|point| point.timestamp == 1).unwrap();
        assert!(meanwhile > 0);
        all.remove(meanwhile);
        let expected: Vec<Point> = (0..POINTS)
            .map(|number| point(600 + 60 * number, f64::from(number)))
            .collect();
        assert!(all == expected, "{strategy:?}");
        assert!(!cache.ages.has(id.0));
        cache.insert("other", point(2, 2.0));
        assert_eq!(cache.next(NEXT, 1 << 30).is_none(), is_held(*strategy));
        assert_ne!(cache.next(NEXT, 1 << 30), Some(id));
        assert!(cache.ages.has(other.0));
    }
}

/// Does an order hold a point that has just come?
fn is_held(strategy: Strategy) -> bool {
    strategy == Strategy::Deadline
}

#[test]
fn others_are_written_between_the_updates_of_years() {
    // `max` and `bucketmax` choose who has the most points, whoever waits; `starved` finds the others.
    let is_by_points =
        |strategy: &&Strategy| matches!(strategy, Strategy::Max | Strategy::BucketMax);
    for strategy in Strategy::ALL.iter().filter(|one| !is_by_points(one)) {
        let began = begin();
        let (mut cache, year, _) = year(*strategy, began);
        let name = |number: u32| format!("live.{number}");
        let mut now = began;
        let (mut of_year, mut of_others) = (0, 0);
        while cache.ages.has(year.0) {
            // Others get a point a minute, and the limit is far below what they need.
            now += Duration::from_secs(60);
            cache.begin_turn(at(now));
            for number in 0..20 {
                let id = put(&mut cache, &name(number), of_others);
                stand(&mut cache, id, Standing::Writable);
            }
            for _ in 0..4 {
                let Some(next) = cache.next(NEXT, 1 << 30) else {
                    continue;
                };
                take_whole(&mut cache, next);
                if next == year && of_year == 0 {
                    cache.put_back_for_fewer(next, 1000);
                } else {
                    cache.written(next, now);
                }
                of_year += u32::from(next == year);
                of_others += u32::from(next != year);
            }
        }
        assert!(of_year >= POINTS / 1000, "{strategy:?} {of_year}");
        assert!(
            of_others + 2 >= of_year,
            "{strategy:?} {of_others} {of_year}"
        );
    }
}

#[test]
fn who_cannot_be_written_does_not_come_next() {
    let began = begin();
    let (mut cache, id, other) = year(Strategy::Naive, began);
    take_whole(&mut cache, id);
    cache.written(id, began);
    assert_eq!(cache.next(NEXT, 0), Some(id));
    let before = seen(&cache, id);
    take_whole(&mut cache, id);
    assert_eq!(cache.put_back(id), 0);
    stand(&mut cache, id, Standing::Parked);
    assert_eq!(seen(&cache, id), before);
    assert_eq!(cache.next(NEXT, 0), Some(other));
    assert_eq!(cache.unfinished(NEXT), 0);
}

#[test]
fn what_was_written_just_before_is_enough_to_look_for() {
    let began = begin();
    let (mut cache, id, _) = year(Strategy::Sorted, began);
    let (mut last, mut updates) = (0, 0);
    while cache.ages.has(id.0) {
        let (points, _) = take_whole(&mut cache, id);
        last = points.last().unwrap().timestamp;
        cache.written(id, began);
        updates += 1;
    }
    assert!(updates > 2);
    let mut recent = Vec::new();
    cache.recent(id, &mut recent);
    assert_eq!(recent.last().unwrap().timestamp, last);
    let most = UPDATE_POINTS_MAX as usize;
    assert!((most..2 * most).contains(&recent.len()), "{}", recent.len());
    // Queries see all.
    assert_eq!(seen(&cache, id).len(), POINTS as usize);
}

#[test]
fn an_update_that_could_not_read_for_all_is_followed_by_smaller_ones() {
    for strategy in Strategy::ALL {
        let began = begin();
        let (mut cache, id, _) = year(*strategy, began);
        let now = began + Duration::from_secs(2);
        cache.begin_turn(at(now));
        take_whole(&mut cache, id);
        let before = seen(&cache, id);
        assert_eq!(cache.put_back_for_fewer(id, 5000), 0);
        assert_eq!(seen(&cache, id), before);
        // Nothing of it may be in a new file that has all.
        assert_eq!(cache.firsts(id), None);
        let mut lens = Vec::new();
        while comes_next(&mut cache, id, now) {
            let (points, cut) = take_whole(&mut cache, id);
            lens.push(points.len());
            cache.written(id, now);
            if cut.is_none() {
                break;
            }
            assert_eq!(cache.unfinished.points_max(id.0), 5000);
        }
        let sum: usize = lens.iter().sum();
        assert!(lens.iter().all(|len| *len <= 5000), "{strategy:?} {lens:?}");
        assert_eq!(sum, POINTS as usize, "{strategy:?} {lens:?}");
        assert_eq!(cache.unfinished.points_max(id.0), UPDATE_POINTS_MAX);
        assert_ne!(cache.next(NEXT, 1 << 30), Some(id));
        assert!(!cache.ages.has(id.0), "{strategy:?}");
    }
}

#[test]
fn a_taken_series_is_not_taken_for_fewer_points_later() {
    let began = begin();
    let (mut cache, id, _) = year(Strategy::Naive, began);
    take_whole(&mut cache, id);
    cache.put_back_for_fewer(id, 10);
    assert_eq!(take_whole(&mut cache, id).0.len(), 10);
    assert_eq!(cache.put_back(id), 0);
    assert_eq!(cache.unfinished(NEXT), 0);
    assert!(take_whole(&mut cache, id).0.len() > 10);
}

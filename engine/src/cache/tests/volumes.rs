//! Several data directories: lists, orders, shares and what presses the journal are each one's own.

use super::super::Strategy;
use super::*;

const SECOND: Volume = Volume(1);

fn two(strategy: Strategy) -> Cache {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 8,
        max_point_age_s: 60,
        ..config(strategy)
    });
    cache.add_volume(300, true);
    cache
}

fn add(cache: &mut Cache, name: &str, volume: Volume) -> SeriesId {
    let point = Point {
        timestamp: 1000,
        value: 1.0,
    };
    let id = cache.insert(name, point).outcome.series();
    assert_eq!(cache.unplaced(), Some(id));
    cache.set_volume(id, volume);
    assert_eq!(cache.unplaced(), None);
    id
}

#[test]
fn a_series_is_in_the_lists_of_its_directory_alone() {
    for strategy in Strategy::ALL {
        let mut cache = two(*strategy);
        let (one, other) = (
            add(&mut cache, "a", Volume::FIRST),
            add(&mut cache, "b", SECOND),
        );
        assert_eq!(cache.usage().unproven_series, 2);
        assert_eq!(cache.unproven_next(SECOND), Some(other));
        assert_eq!(cache.unproven_next(SECOND), None);
        assert_eq!(cache.unproven_next(Volume::FIRST), Some(one));
        for id in [one, other] {
            assert_eq!(cache.set_standing(id, Standing::Writable).total(), 0);
        }
        cache.drain();
        let began = cache.began;
        for second in [1, 2] {
            cache.begin_turn(at(began + Duration::from_secs(second)));
        }
        let next = |cache: &mut Cache, volume| {
            // A snapshot takes a step.
            let first = cache.next(volume, 5000);
            first.or_else(|| cache.next(volume, 5000))
        };
        assert_eq!(next(&mut cache, SECOND), Some(other), "{strategy:?}");
        assert_eq!(next(&mut cache, Volume::FIRST), Some(one), "{strategy:?}");
        cache.take(other, &mut Vec::new());
        assert_eq!(next(&mut cache, SECOND), None, "{strategy:?}");
        assert_eq!((cache.ready(Volume::FIRST), cache.ready(SECOND)), (1, 0));
        cache.written(other, began);
    }
}

#[test]
fn each_directory_holds_points_for_its_own_time_and_in_its_own_order() {
    let mut cache = two(Strategy::Deadline);
    assert_eq!(cache.usual_hold_s(Volume::FIRST), Some(60));
    assert_eq!(cache.usual_hold_s(SECOND), Some(300));
    assert!(!cache.is_in_disk_order(Volume::FIRST) && cache.is_in_disk_order(SECOND));
    let ids = [
        add(&mut cache, "a", Volume::FIRST),
        add(&mut cache, "b", SECOND),
    ];
    for id in ids {
        assert!(cache.unproven_next(cache.volume(id)).is_some());
        cache.set_location(id, 7);
        assert_eq!(cache.set_standing(id, Standing::Writable).total(), 0);
    }
    assert_eq!(ids.map(|id| cache.location(id)), [None, Some(7)]);
    let began = cache.began;
    for (second, due) in [
        (30, [false, false]),
        (59, [true, false]),
        (290, [true, true]),
    ] {
        cache.begin_turn(at(began + Duration::from_secs(second)));
        let next = [Volume::FIRST, SECOND].map(|volume| cache.next(volume, 0).is_some());
        assert_eq!(next, due, "at {second} s");
    }
}

#[test]
fn what_cannot_be_written_has_a_share_for_each_directory() {
    let mut cache = two(Strategy::Sorted);
    let mut dropped = 0;
    for number in 0..6 {
        let id = add(&mut cache, &format!("a{number}"), Volume::FIRST);
        assert!(cache.unproven_next(Volume::FIRST).is_some());
        dropped += cache.set_standing(id, Standing::Parked).total();
    }
    assert_eq!((cache.stuck_points(Volume::FIRST), dropped), (4, 2));
    let id = add(&mut cache, "b", SECOND);
    assert!(cache.unproven_next(SECOND).is_some());
    assert_eq!(cache.set_standing(id, Standing::Waiting).total(), 0);
    assert_eq!(cache.stuck_points(SECOND), 1);
    assert_eq!(
        cache.usage().waiting_points + cache.usage().parked_points,
        5
    );
}

#[test]
fn who_keeps_the_journal_is_found_for_each_directory() {
    let mut cache = two(Strategy::Sorted);
    let ids = [
        add(&mut cache, "a", Volume::FIRST),
        add(&mut cache, "b", SECOND),
    ];
    for id in ids {
        assert!(cache.unproven_next(cache.volume(id)).is_some());
        assert_eq!(cache.set_standing(id, Standing::Writable).total(), 0);
    }
    let until = cache.present();
    let began = cache.began;
    cache.begin_turn(at(began + Duration::from_secs(5)));
    assert_eq!(cache.next_stuck(until, &mut 5000), None);
    assert_eq!(cache.next_pinned(Volume::FIRST), Some(ids[0].0));
    assert_eq!(cache.next_pinned(SECOND), Some(ids[1].0));
}

#[test]
fn a_number_that_is_used_again_is_placed_anew() {
    let mut cache = two(Strategy::Sorted);
    let id = add(&mut cache, "b", SECOND);
    assert!(cache.unproven_next(SECOND).is_some());
    cache.discard(id);
    assert_eq!(cache.forget_idle(u64::MAX), 1);
    assert_eq!(add(&mut cache, "a", Volume::FIRST), id);
    assert_eq!(cache.volume(id), Volume::FIRST);
}

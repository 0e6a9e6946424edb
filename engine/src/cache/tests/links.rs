//! Series by number: points, names and successors of a number, and series that stay while a route
//! leads to them.

use super::*;

fn write(cache: &mut Cache, id: SeriesId, now: Instant) {
    stand(cache, id, Standing::Writable);
    taken(cache, id);
    cache.written(id, now);
}

#[test]
fn a_name_and_its_number_lead_to_the_same_series() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let name = "servers.web1.load";
    let hash = names::hash(42, name);
    assert_eq!(cache.find_hashed(hash, name), None);
    let inserted = cache.insert_hashed(hash, name, point(10, 1.0));
    let id = inserted.outcome.series();
    assert_eq!(inserted.outcome, Insert::New(id));
    assert_eq!(
        (cache.find(name), cache.find_hashed(hash, name)),
        (Some(id), Some(id))
    );
    let outcomes = [(20, 2.0), (20, 3.0), (15, 4.0), (30, 5.0)]
        .map(|(at, value)| cache.insert_known(id, point(at, value)).outcome);
    assert_eq!(
        outcomes,
        [
            Insert::Added(id),
            Insert::Superseded(id),
            Insert::Added(id),
            Insert::Added(id)
        ]
    );
    assert_eq!(
        seen(&cache, id),
        [(10, 1.0), (15, 4.0), (20, 3.0), (30, 5.0)]
    );
    assert_eq!((cache.usage().points, cache.usage().queues), (4, 1));
    assert_eq!(cache.name_bytes(id), name.as_bytes());
}

#[test]
fn by_number_a_series_wakes_and_waits_as_by_name() {
    let mut cache = Cache::new(config(Strategy::Sorted));
    let now = begin();
    let id = put(&mut cache, "a", 10);
    write(&mut cache, id, now);
    assert_eq!(
        cache.insert_known(id, point(20, 1.0)).outcome,
        Insert::Woke(id)
    );
    assert_eq!(cache.next(Volume::FIRST, 100), Some(id));
    taken(&mut cache, id);
    assert_eq!(
        cache.insert_known(id, point(30, 1.0)).outcome,
        Insert::Added(id)
    );
    assert_eq!(
        cache.insert_known(id, point(40, 1.0)).outcome,
        Insert::Added(id)
    );
    cache.written(id, now);
    stand(&mut cache, id, Standing::Waiting);
    let other = put(&mut cache, "b", 10);
    stand(&mut cache, other, Standing::Waiting);
    assert_eq!(
        cache.insert_known(id, point(50, 1.0)).outcome,
        Insert::Added(id)
    );
    // The second point makes it one of those that repeat, behind the other of them.
    assert_eq!(
        cache.insert_known(other, point(20, 1.0)).outcome,
        Insert::Added(other)
    );
    assert_eq!(cache.usage().waiting_points, 5);
    assert_eq!(
        (
            cache.waiting_next(Volume::FIRST),
            cache.waiting_next(Volume::FIRST)
        ),
        (Some(id), Some(other))
    );
}

#[test]
fn the_share_binds_points_by_number_too() {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 3,
        ..config(Strategy::Sorted)
    });
    let id = put(&mut cache, "a", 1);
    stand(&mut cache, id, Standing::Parked);
    for at in [2, 3] {
        assert_eq!(
            cache.insert_known(id, point(at, 0.0)).outcome,
            Insert::Added(id)
        );
    }
    let inserted = cache.insert_known(id, point(4, 0.0));
    assert_eq!(
        (inserted.outcome, inserted.dropped.parked),
        (Insert::Refused(id), 1)
    );
    let mut cache = Cache::new(CacheConfig {
        waiting_bytes_max: share_of_waiting(2 * SERIES_BYTES),
        ..config(Strategy::Sorted)
    });
    let id = put(&mut cache, "a", 1);
    stand(&mut cache, id, Standing::Waiting);
    let mut at = 1;
    while cache.usage().points == at {
        at += 1;
        let dropped = cache
            .insert_known(
                id,
                point(u32::try_from(at).unwrap(), 1.0 / 3.0 * as_value(at)),
            )
            .dropped;
        let usage = cache.usage();
        assert!(usage.waiting_bytes <= 2 * SERIES_BYTES, "{usage:?}");
        assert_eq!(usage.points + dropped.total(), at);
    }
    assert!(at > 5, "{at} points in {SERIES_BYTES} bytes");
}

#[expect(clippy::cast_precision_loss, reason = "the values are small numbers")]
fn as_value(value: u64) -> f64 {
    value as f64
}

#[test]
fn who_ranks_by_points_ranks_points_by_number() {
    for strategy in [Strategy::Max, Strategy::BucketMax] {
        let mut cache = Cache::new(config(strategy));
        let ids = ["a", "b", "c"].map(|name| put(&mut cache, name, 1));
        for id in ids {
            stand(&mut cache, id, Standing::Writable);
        }
        for (id, at) in [(ids[1], 2), (ids[2], 2), (ids[2], 3)] {
            cache.insert_known(id, point(at, 0.0));
        }
        let order: Vec<SeriesId> = std::iter::from_fn(|| {
            let next = cache.next(Volume::FIRST, 0)?;
            taken(&mut cache, next);
            Some(next)
        })
        .collect();
        assert_eq!(order, [ids[2], ids[1], ids[0]], "{strategy:?}");
    }
}

#[test]
fn successors_are_the_callers_and_stale_ones_do_no_harm() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let unknown = SeriesId(9);
    assert_eq!(
        (cache.successor(unknown), cache.name_bytes(unknown)),
        (u32::MAX, &b""[..])
    );
    cache.set_successor(unknown, 3);
    let (first, second) = (put(&mut cache, "a", 1), put(&mut cache, "b", 1));
    assert_eq!(cache.successor(first), u32::MAX);
    // Any number will do, also one that is no series of this cache.
    for number in [second.0, 0x8000_004d] {
        cache.set_successor(first, number);
        assert_eq!(cache.successor(first), number);
    }
    let now = begin();
    write(&mut cache, second, now);
    cache.expire(now + Duration::from_secs(5));
    assert_eq!(cache.forget_idle(1), 1);
    assert!(!cache.is_known(second) && cache.name_bytes(second).is_empty());
    cache.set_successor(second, 5);
    assert_eq!(put(&mut cache, "c", 1), second, "the number is used again");
    assert_eq!(
        (cache.successor(second), cache.name_bytes(second)),
        (u32::MAX, &b"c"[..])
    );
}

#[test]
fn a_linked_series_is_forgotten_only_after_its_last_link() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let now = begin();
    let id = put(&mut cache, "a", 1);
    assert!(cache.link(id));
    write(&mut cache, id, now);
    assert!(cache.link(id));
    cache.expire(now + Duration::from_secs(5));
    assert_eq!(
        (cache.usage().idle_series, cache.forget_idle(u64::MAX)),
        (0, 0)
    );
    cache.unlink(id);
    assert_eq!(
        (cache.usage().idle_series, cache.forget_idle(u64::MAX)),
        (0, 0)
    );
    assert_eq!(
        cache.insert_known(id, point(2, 0.0)).outcome,
        Insert::Woke(id)
    );
    cache.unlink(id);
    assert_eq!(cache.forget_idle(u64::MAX), 0, "it has a point");
    write(&mut cache, id, now + Duration::from_secs(5));
    cache.expire(now + Duration::from_secs(10));
    assert_eq!(cache.usage().idle_series, 1);
    // One that is idle already is taken back.
    assert!(cache.link(id));
    assert_eq!(
        (cache.usage().idle_series, cache.forget_idle(u64::MAX)),
        (0, 0)
    );
    cache.unlink(id);
    assert_eq!(
        (cache.usage().idle_series, cache.forget_idle(u64::MAX)),
        (1, 1)
    );
    assert_eq!(cache.usage().series, 0);
}

#[test]
fn a_linked_series_loses_its_point_to_the_share_and_not_its_number() {
    let mut cache = Cache::new(CacheConfig {
        waiting_points_max: 2,
        ..config(Strategy::Naive)
    });
    let ids = ["a", "b", "c"].map(|name| put(&mut cache, name, 1));
    assert!(cache.link(ids[0]));
    for (id, gone) in [(ids[0], 0), (ids[1], 0), (ids[2], 1)] {
        let dropped = cache.set_standing(id, Standing::Waiting);
        assert_eq!(dropped.create_wait, gone);
    }
    assert_eq!((cache.find("a"), cache.len(ids[0])), (Some(ids[0]), 0));
    let usage = cache.usage();
    assert_eq!(
        (usage.series, usage.waiting_points, usage.idle_series),
        (3, 2, 0)
    );
    assert_eq!(usage.waiting_bytes, 2 * (SERIES_BYTES + 1 + 4));
    // It comes back by its number, and takes the place of the oldest.
    let back = cache.insert_known(ids[0], point(2, 0.0));
    assert_eq!(back.outcome, Insert::Woke(ids[0]));
    assert_eq!((back.dropped.create_wait, cache.find("b")), (1, None));
    assert_eq!(cache.discard(ids[0]), 1);
    assert_eq!(cache.forget_idle(u64::MAX), 0);
    cache.unlink(ids[0]);
    assert_eq!(cache.forget_idle(u64::MAX), 1);
}

#[test]
fn links_are_counted_up_to_a_byte() {
    let mut cache = Cache::new(config(Strategy::BucketMax));
    let id = put(&mut cache, "a", 1);
    for _ in 0..u8::MAX {
        assert!(cache.link(id));
    }
    assert!(!cache.link(id) && !cache.link(id));
    // The rank beside them is another matter.
    let now = begin();
    put(&mut cache, "a", 2);
    write(&mut cache, id, now);
    cache.expire(now + Duration::from_secs(5));
    for _ in 1..u8::MAX {
        cache.unlink(id);
    }
    assert_eq!(cache.forget_idle(u64::MAX), 0);
    cache.unlink(id);
    assert_eq!(cache.forget_idle(u64::MAX), 1);
}

#[test]
#[should_panic(expected = "no link to lose")]
fn a_link_that_is_not_there_cannot_go() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let id = put(&mut cache, "a", 1);
    cache.unlink(id);
}

#[test]
#[should_panic(expected = "is forgotten")]
fn a_point_for_a_stale_number_is_caught() {
    let mut cache = Cache::new(config(Strategy::Naive));
    let id = put(&mut cache, "a", 1);
    put(&mut cache, "b", 1);
    let now = begin();
    write(&mut cache, id, now);
    cache.expire(now + Duration::from_secs(5));
    assert_eq!(cache.forget_idle(1), 1);
    cache.insert_known(id, point(2, 0.0));
}

//! One budget for the whole process: over any ten seconds as many updates as the rate gives, within 2 %
//! or one, whatever the number of shards, and where one of them has all the work.
//! The clock goes from one deadline of the shards to the next, as their cores would sleep.

use super::*;

/// A name that a shard owns.
fn owned_by(shard: u16, shards: u16, number: u32) -> String {
    let mut scratch = String::new();
    let names = (0_u32..).map(|salt| format!("limited.m{number}.{salt}"));
    let mut owned = names.filter(|name| {
        let metric = Metric::parse(name, &mut scratch).unwrap();
        owner(metric.owner_hash(TaggedLeaf::Hashed, 7), shards) == ShardIndex(shard)
    });
    owned.next().unwrap()
}

/// How many updates there were in each tenth of a second of `seconds`, with the metrics given to one
/// shard or to all.
fn tenths(shards: u16, rate: f64, uneven: bool, seconds: u64) -> Vec<u64> {
    let mut world = World::new(shards, None);
    world
        .budgets
        .updates
        .set_rate(Some(rate), world.now.instant);
    let names: Vec<String> = (0..200)
        .map(|number| {
            let shard = if uneven {
                0
            } else {
                number % u32::from(shards)
            };
            owned_by(u16::try_from(shard).unwrap(), shards, number)
        })
        .collect();
    let begin = world.now;
    let mut tenths = vec![0; usize::try_from(seconds * 10).unwrap()];
    let (mut done, mut value) = (0, 0.0);
    loop {
        let since = world.now.instant.duration_since(begin.instant);
        let Some(tenth) = tenths.get_mut(usize::try_from(since.as_millis() / 100).unwrap()) else {
            return tenths;
        };
        // There is always work: each metric has a point again as soon as its last one is written.
        let cached: u64 = world
            .shards
            .iter()
            .map(|shard| shard.report().usage.queues)
            .sum();
        if cached < names.len() as u64 / 2 {
            value += 1.0;
            for name in &names {
                let point = world.point(0, value);
                world.take(name, point);
            }
        }
        world.settle();
        let updates = world.count(Counter::Updates);
        *tenth += updates - std::mem::replace(&mut done, updates);
        let next = world.shards.iter().filter_map(Shard::next_deadline).min();
        let tick = world.now.instant + Duration::from_millis(20);
        let next = next.map_or(tick, |next| next.clamp(world.now.instant, tick));
        world.now.instant = next.max(world.now.instant + Duration::from_micros(100));
        let passed = world.now.instant.duration_since(begin.instant).as_secs();
        world.now.unix_seconds = begin.unix_seconds + u32::try_from(passed).unwrap();
    }
}

#[test]
fn ten_seconds_have_ten_seconds_worth_over_any_number_of_shards() {
    for shards in [1, 2, 8] {
        for rate in [0.7, 30.0, 1000.0] {
            for uneven in [false, true] {
                let tenths = tenths(shards, rate, uneven, 12);
                for window in tenths[1..].windows(100) {
                    let (updates, due) = (window.iter().sum::<u64>(), rate * 10.0);
                    let updates = f64::from(u32::try_from(updates).unwrap());
                    let allowed = (due * 0.02).max(1.0);
                    assert!(
                        (updates - due).abs() <= allowed,
                        "{shards} shards, {rate}/s, uneven: {uneven}: {updates} in ten seconds"
                    );
                }
            }
        }
    }
}

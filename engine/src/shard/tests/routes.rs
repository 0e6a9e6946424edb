//! Metrics known by number: foreseen, handed over, given up, and their numbers used again.

use proptest::prelude::{Just, ProptestConfig, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;
use crate::metric::owner;
use crate::names;

/// Names, of which shard 0 of `shards` owns the first and the others the rest.
fn names(shards: u16, count: usize) -> (Vec<String>, Vec<String>) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for number in 0.. {
        let name = format!("site.web{number}.load");
        let side = match owner(names::hash(7, &name), shards) {
            ShardIndex(0) => &mut own,
            ShardIndex(_) => &mut other,
        };
        if side.len() < count {
            side.push(name);
        } else if own.len().min(other.len()) == count {
            break;
        }
    }
    (own, other)
}

/// Bytes that the messages of shard 0 hold for what it hands over.
fn bytes_under_way(world: &mut World) -> u64 {
    let mut bytes = 0;
    for target in 1..world.shards.len() {
        let to = ShardIndex(u16::try_from(target).unwrap());
        while let Some(message) = world.shards[0].next_message(to) {
            if let Message::Points(_, batch) = &message {
                bytes += batch.held_bytes();
            }
            world.shards[target].deliver(message);
        }
    }
    bytes
}

#[test]
fn a_repeated_order_is_foreseen_and_handed_over_by_number() {
    let mut world = World::new(4, None);
    world.hold = true;
    let (own, other) = names(4, 50);
    for round in 0..3 {
        let mut foreseen = 0;
        for name in own.iter().zip(&other).flat_map(|(own, other)| [own, other]) {
            let next = world.shards[0].foresee(world.trail);
            foreseen += usize::from(next.is_some_and(|(_, next)| next == name.as_bytes()));
            let point = world.point(10 - round, f64::from(round));
            world.take(name, point);
        }
        // That the first of a round follows the last is learned in the second, and once one has
        // followed as before the others are foreseen.
        assert_eq!(foreseen, [0, 98, 100][round as usize]);
        let bytes = bytes_under_way(&mut world);
        if round > 0 {
            assert_eq!(bytes, 50 * 16, "nothing but numbers and points");
        }
    }
    for name in own.iter().chain(&other) {
        assert_eq!(world.query(name).len(), 3, "{name}");
    }
}

#[test]
fn what_is_foreseen_wrongly_is_found_by_its_name() {
    let mut world = World::new(2, None);
    world.hold = true;
    let (own, other) = names(2, 3);
    let orders = [[0, 1, 2], [0, 2, 1], [2, 1, 0], [0, 1, 2]];
    for (age, order) in (1..).zip(orders) {
        for index in order {
            for name in [&own[index], &other[index]] {
                world.take(name, world.point(age, 1.0));
            }
        }
        world.settle();
    }
    for name in own.iter().chain(&other) {
        assert_eq!(world.query(name).len(), 4, "{name}");
    }
}

#[test]
fn names_out_of_order_are_guessed_and_an_order_is_learned_again() {
    let mut world = World::new(2, None);
    world.hold = true;
    let (own, other) = names(2, 40);
    let all: Vec<&String> = own.iter().chain(&other).collect();
    for name in &all {
        world.take(name, world.point(90, 1.0));
    }
    assert!(world.trail.is_lost(), "nothing has followed anything twice");
    let ends = all.iter().map(|name| name.as_bytes()).zip(1..);
    let mut guesses = world.shards[0].guess(ends);
    assert_eq!(
        (guesses.clone().count(), guesses.reach()),
        (WARMED_TOGETHER_MAX, WARMED_TOGETHER_MAX)
    );
    for name in &all[..WARMED_TOGETHER_MAX] {
        let known = world.shards[0].next_guess(&mut guesses);
        let found = known.map(|known| world.shards[0].name_of(known));
        assert_eq!(found, Some(name.as_bytes()));
    }
    assert_eq!(world.shards[0].next_guess(&mut guesses), None);
    let unknown = [b"no.such".as_slice(), b"nor.this", b""].into_iter();
    let unknown = world.shards[0].guess(unknown.zip(1..));
    assert_eq!(
        unknown.reach(),
        3 * 8,
        "most are new, and are passed over for a while"
    );
    for known in unknown {
        assert_eq!(world.shards[0].name_of(known), b"");
    }
    // Every seventh name, round and round, until the order is the one of before.
    for age in 1..4 {
        for step in 0..80 {
            world.take(all[step * 7 % 80], world.point(age, 1.0));
        }
        assert_eq!(world.trail.is_lost(), age == 1, "round {age}");
    }
    world.settle();
    for name in all {
        assert_eq!(world.query(name).len(), 4, "{name}");
    }
}

#[test]
fn other_spellings_of_a_metric_are_known_and_share_its_series() {
    let mut world = World::new(2, None);
    world.hold = true;
    let (own, other) = names(2, 2);
    for name in own.iter().chain(&other) {
        let spellings = [
            name.clone(),
            format!(".{name}"),
            name.replace('.', ".."),
            name.replace('.', "/"),
        ];
        for round in 0..2 {
            for (age, spelling) in (1..).zip(&spellings) {
                world.take(spelling, world.point(10 * round + age, 2.0));
            }
        }
        world.settle();
        assert_eq!(world.query(name).len(), 8, "{name}");
    }
    assert_eq!(world.shards[0].report().usage.series, 2);
    assert_eq!(world.shards[1].report().usage.series, 2);
}

#[test]
fn a_name_with_whitespace_is_never_foreseen_on_a_line() {
    let mut world = World::new(1, None);
    world.hold = true;
    for age in [3, 2, 1] {
        world.take("a.b", world.point(age, 1.0));
        let next = world.shards[0].foresee(world.trail);
        assert_eq!(next.map(|(_, name)| name), None);
        world.take("a.b 1", world.point(age, 1.0));
    }
}

#[test]
fn routes_of_names_sent_once_make_room_and_used_ones_stay() {
    let mut world = World::bounded(2, None, 3 << 20);
    let (_, regular) = names(2, 20);
    let mut received = 0;
    for round in 0..400_u32 {
        for name in &regular {
            world.take(name, world.point(400 - round, 1.0));
            received += 1;
        }
        for number in 0..100 {
            let name = format!("flood.once{round}.{number}");
            let point = world.point(1, 1.0);
            received += u32::from(world.offer(&name, point) == Accept::Taken);
        }
        world.settle();
        world.later(1);
    }
    let bytes = world.room.bytes();
    assert!(bytes < 3 << 20, "{bytes} bytes");
    let routes = world.shards[0].routes.bytes();
    assert!(
        routes < 1 << 20,
        "{routes} bytes of routes: some 20,000 began"
    );
    assert!(received > 40_000, "{received} points found room");
    assert!(world.count(Counter::Forgotten) > 10_000);
    let mut known = 0;
    for name in &regular {
        world.take(name, world.point(0, 1.0));
        known += 1;
    }
    assert_eq!(known, 20);
    let bytes = bytes_under_way(&mut world);
    assert_eq!(
        bytes,
        20 * 16,
        "no regular metric had to say its name again"
    );
}

#[derive(Clone, Debug)]
enum Step {
    /// A point of this metric comes to this shard, in one of its spellings.
    Point(usize, usize, usize),
    /// Everything is handed over and written.
    Settle,
    Later(u64),
}

fn step() -> impl Generator<Value = Step> {
    prop_oneof![
        20 => (0usize..3, 0usize..300, 0usize..3).prop_map(|(shard, metric, form)| {
            Step::Point(shard, metric, form)
        }),
        2 => Just(Step::Settle),
        1 => (1u64..8).prop_map(Step::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes to whichever shard, under a bound so tight that routes come and go and their
    /// numbers are used again: every point that was taken is in the file of its metric.
    #[test]
    fn every_point_reaches_its_own_metric(steps in prop::collection::vec(step(), 1..1500)) {
        let mut world = World::bounded(3, None, 96 << 10);
        let mut trails = [Trail::default(); 3];
        let mut sent = BTreeMap::<usize, BTreeMap<u32, f64>>::new();
        for (number, step) in (0u32..).zip(steps) {
            match step {
                Step::Settle => world.settle(),
                Step::Later(seconds) => {
                    world.settle();
                    world.later(seconds);
                }
                Step::Point(shard, metric, form) => {
                    let name = match form {
                        0 => format!("p.m{metric}"),
                        1 => format!("p..m{metric}"),
                        _ => format!("p/m{metric}"),
                    };
                    let point = world.point(1 + number % 900, f64::from(number));
                    let (shard, trail) = (&mut world.shards[shard], &mut trails[shard]);
                    let accept = offer(shard, trail, &name, point);
                    if accept == Accept::Taken {
                        // Points of one second may overtake each other between shards.
                        sent.entry(metric).or_default().insert(point.timestamp, point.value);
                    }
                }
            }
        }
        world.settle();
        for (metric, points) in sent {
            let written = world.disk.points(&format!("/data/p/m{metric}.wsp"));
            let seconds: Vec<u32> = written.iter().map(|point| point.timestamp).collect();
            let expected: Vec<u32> = points.keys().copied().collect();
            prop_assert_eq!(seconds, expected, "metric {}", metric);
        }
        prop_assert_eq!(world.count(Counter::Received),
            world.count(Counter::Committed) + world.count(Counter::Superseded));
    }
}

//! Names that have to be admitted: a raw name is judged once, as it was received, and anew after
//! `judge_anew`; what is known by number does not come past that.

use super::*;

/// Offers a point; a name that has to be judged may pass if `may`. Says what became of it, and
/// whether it was judged.
fn judged(world: &mut World, name: &str, may: bool) -> (Accept, bool) {
    let point = world.point(1, 1.0);
    match world.offer(name, point) {
        Accept::Unjudged if may => {
            let (shard, trail) = (&mut world.shards[0], &mut world.trail);
            (shard.accept_admitted(trail, name, point), true)
        }
        Accept::Unjudged => (Accept::Unjudged, true),
        other @ (Accept::Taken | Accept::Full | Accept::Refused(_)) => (other, false),
    }
}

fn judging(shards: u16) -> World {
    let mut world = World::new(shards, None);
    world.hold = true;
    for shard in &mut world.shards {
        shard.judge_anew();
    }
    world
}

/// Own and other shards' metrics, tagged ones, and names that are not canonical.
const NAMES: [&str; 7] = ["a.b", "c", "d.e.f", "g", "h..i", "m;b=1;a=2", "/slash/name"];

#[test]
fn a_raw_name_is_judged_once_and_anew_when_told() {
    let mut world = judging(3);
    for again in 0..3 {
        for round in 0..4 {
            for name in NAMES {
                let expected = (Accept::Taken, round == 0);
                assert_eq!(judged(&mut world, name, true), expected, "{again} {name}");
            }
            world.settle();
        }
        world.shards[0].judge_anew();
    }
}

#[test]
fn what_may_not_pass_leaves_nothing_and_disturbs_no_order() {
    let mut world = judging(2);
    for round in 0..4 {
        for name in ["kept.one", "spam.x", "kept.two", "spam..x"] {
            let may = name.starts_with("kept");
            let expected = match (may, round) {
                (true, 0) => (Accept::Taken, true),
                (true, _) => (Accept::Taken, false),
                (false, _) => (Accept::Unjudged, true),
            };
            assert_eq!(judged(&mut world, name, may), expected, "{round} {name}");
        }
        world.settle();
    }
    assert_eq!(world.query("spam.x"), []);
    assert_eq!(world.count(Counter::Received), 8);
    let series: u64 = world
        .shards
        .iter()
        .map(|shard| shard.report().usage.series)
        .sum();
    assert_eq!(series, 2);
    assert!(!world.trail.is_lost());
}

#[test]
fn each_raw_name_of_one_metric_is_judged_by_itself() {
    for shards in [1, 2, 5] {
        let mut world = judging(shards);
        let tagged = ["m;a=1;b=2", "m;b=2;a=1"];
        for [plain, other] in [["a.b", "a..b"], ["a.b.c", ".a.b.c"], tagged] {
            assert_eq!(judged(&mut world, plain, true), (Accept::Taken, true));
            // The metric is there, and this name was not judged.
            assert_eq!(judged(&mut world, other, false), (Accept::Unjudged, true));
            assert_eq!(judged(&mut world, plain, true), (Accept::Taken, false));
            assert_eq!(judged(&mut world, other, true), (Accept::Taken, true));
            assert_eq!(judged(&mut world, other, true), (Accept::Taken, false));
            world.settle();
            // The other way round: the metric comes by the other name first.
            world.shards[0].judge_anew();
            assert_eq!(judged(&mut world, other, true), (Accept::Taken, true));
            assert_eq!(judged(&mut world, plain, false), (Accept::Unjudged, true));
        }
    }
}

#[test]
fn own_metrics_pass_and_are_judged_where_they_are_received() {
    let mut world = judging(2);
    for name in ["carbon.own.one", "carbon.own.two"] {
        for age in [9, 8] {
            let point = world.point(age, 1.0);
            world.shards[0].accept_own(name, point).unwrap();
        }
        assert_eq!(judged(&mut world, name, false), (Accept::Unjudged, true));
    }
    world.settle();
    assert_eq!(world.count(Counter::Own), 4);
    assert_eq!(world.count(Counter::Received), 0);
}

#[test]
fn a_name_that_cannot_be_a_metric_is_judged_too() {
    let mut world = judging(1);
    let name = "...";
    assert_eq!(judged(&mut world, name, false), (Accept::Unjudged, true));
    let (accept, judged_again) = judged(&mut world, name, true);
    assert!(
        matches!(accept, Accept::Refused(_)) && judged_again,
        "{accept:?}"
    );
}

/// A number is given out again with nothing said of its new name.
#[test]
fn a_forgotten_series_takes_its_admission_along() {
    let mut world = World::bounded(1, None, 200_000);
    world.shards[0].judge_anew();
    for number in 0..3000 {
        let name = format!("flood.of.names.that.come.once.m{number}");
        let (accept, was_judged) = judged(&mut world, &name, true);
        assert!(was_judged, "{name}");
        if accept == Accept::Full {
            world.later(10);
        }
        world.settle();
        world.later(1);
        world.settle();
    }
    assert!(world.count(Counter::Forgotten) > 0);
}

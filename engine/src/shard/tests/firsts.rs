//! New files that begin with their first points, and those that do not.

use super::*;

const FILE: &str = "/data/a.wsp";

fn no_open(world: &mut World) {
    world.disk.failing = vec![(Stage::Open, 5)];
}

fn counts(world: &World) -> [u64; 4] {
    use Counter::{Committed, Creates, Errors, Updates};
    [Creates, Updates, Committed, Errors].map(|counter| world.count(counter))
}

#[test]
fn a_new_file_has_its_first_points_and_is_not_opened_for_them() {
    let mut world = World::new(1, None);
    no_open(&mut world);
    let points = [world.point(20, 1.0), world.point(5, 2.0)];
    for point in points {
        world.take("a", point);
    }
    world.settle();
    assert_eq!(world.disk.points(FILE), points);
    assert_eq!(world.query("a"), points, "answerable a while longer");
    assert_eq!(counts(&world), [1, 1, 2, 0]);
    // What comes later is written as ever, beside them.
    world.disk.failing.clear();
    world.later(10);
    let later = world.point(0, 3.0);
    world.take("a", later);
    world.settle();
    assert_eq!(world.disk.points(FILE), [points[0], points[1], later]);
    assert_eq!(counts(&world), [1, 2, 3, 0]);
}

#[test]
fn without_a_granted_update_the_new_file_is_empty() {
    let mut world = World::new(1, None);
    let budget = Arc::clone(&world.budgets.updates);
    budget.set_rate(Some(0.0), world.now.instant);
    // What was left of the burst.
    budget.grant(u32::MAX, world.now.instant);
    let point = world.point(5, 1.0);
    world.take("a", point);
    world.settle();
    assert!(world.disk.files.contains_key(Path::new(FILE)));
    assert_eq!(world.disk.points(FILE), []);
    assert_eq!(
        (world.query("a"), counts(&world)),
        (vec![point], [1, 0, 0, 0])
    );
    budget.set_rate(None, world.now.instant);
    world.later(1);
    world.settle();
    assert_eq!(world.disk.points(FILE), [point]);
    assert_eq!(counts(&world), [1, 1, 1, 0]);
}

#[test]
fn new_files_do_not_take_all_the_updates_that_are_granted() {
    let mut world = World::new(1, None);
    let send = |world: &mut World, names: &str| {
        for number in 0..30 {
            world.take(&format!("{names}{number}"), world.point(5, 1.0));
        }
    };
    send(&mut world, "old");
    world.settle();
    world.later(10);
    for budget in [&world.budgets.updates, &world.budgets.creates] {
        budget.set_rate(Some(1.0), world.now.instant);
        budget.grant(u32::MAX, world.now.instant);
    }
    send(&mut world, "old");
    send(&mut world, "new");
    for _ in 0..30 {
        world.later(1);
        world.settle();
    }
    let has_points = |names: &str, count: usize| {
        let path = |number: u32| format!("/data/{names}{number}.wsp");
        let files = (0..30).filter(|number| world.disk.points(&path(*number)).len() == count);
        files.count()
    };
    let [old, new] = [has_points("old", 2), has_points("new", 1)];
    assert!(old >= 10, "{old} {new}");
}

#[test]
fn points_that_reach_a_coarser_archive_are_written_by_an_update() {
    let mut world = World::new(1, None);
    no_open(&mut world);
    // 40 seconds of one minute: more than half of it.
    let begin = 60 + world.now.unix_seconds % 60;
    for age_s in begin - 40..begin {
        let point = world.point(age_s, 1.0);
        world.take("a", point);
    }
    world.settle();
    assert_eq!(world.disk.points(FILE), []);
    assert!(counts(&world)[3] > 0);
    world.disk.failing.clear();
    world.later(120);
    world.settle();
    assert_eq!(world.disk.points(FILE).len(), 40);
}

#[test]
fn where_somebody_made_the_file_meanwhile_the_points_go_into_that() {
    let mut world = World::new(1, None);
    world.take("b", world.point(5, 1.0));
    world.settle();
    let other = world.disk.files[Path::new("/data/b.wsp")].clone();
    world.hold = true;
    let point = world.point(3, 2.0);
    world.take("a", point);
    while !world.held.iter().any(is_create) {
        for (shard, token, operation) in std::mem::take(&mut world.held) {
            let result = world.disk.carry_out(operation);
            world.shards[shard].complete(token, result);
        }
        world.turn();
    }
    assert_eq!(world.query("a"), [point]);
    world.disk.files.insert(PathBuf::from(FILE), other);
    world.hold = false;
    world.settle();
    assert_eq!(world.disk.points(FILE), [world.point(5, 1.0), point]);
    assert_eq!(counts(&world), [1, 2, 2, 0]);
}

fn is_create((_, _, operation): &(usize, FileToken, FileOperation)) -> bool {
    matches!(operation, FileOperation::Create { .. })
}

//! Files that no update can use, on a disk of vectors and a clock set by hand: what is set aside,
//! when, and what is not.

use std::sync::mpsc::{Sender, channel};

use super::*;

const FILE: &str = "/data/a.wsp";

/// A world whose file of `a` is broken, with a point that waits for it.
fn world_with(bytes: &[u8]) -> (World, Point) {
    let mut world = World::new(1, None);
    world.disk.files.insert(FILE.into(), bytes.to_vec());
    let point = world.point(5, 1.0);
    world.take("a", point);
    world.settle();
    assert_eq!(world.query("a"), [point]);
    (world, point)
}

/// So many seconds, one after the other.
fn pass(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.later(1);
        world.settle();
    }
}

/// The names that files have beside theirs.
fn asides(world: &World) -> Vec<String> {
    let names = world.disk.files.keys().map(|path| path.to_str().unwrap());
    let asides = names.filter(|name| name.contains(".broken-"));
    asides.map(str::to_owned).collect()
}

/// A file as it should be, of the world's schema.
fn sound() -> Vec<u8> {
    let mut world = World::new(1, None);
    let point = world.point(9, 9.0);
    world.take("a", point);
    world.settle();
    world.disk.files.remove(Path::new(FILE)).unwrap()
}

fn spoilt(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = sound();
    change(&mut bytes);
    bytes
}

#[test]
fn a_broken_file_is_set_aside_after_a_minute_and_made_again() {
    for bytes in [
        Vec::new(),
        spoilt(|bytes| bytes.truncate(20)),
        spoilt(|bytes| bytes.truncate(45)),
        spoilt(|bytes| bytes[12..16].fill(0xff)),
        spoilt(|bytes| bytes[20..24].fill(0)),
        spoilt(|bytes| bytes[..16].fill(0)),
        // Cut where no read of a young point comes to, but its write.
        spoilt(|bytes| bytes.truncate(60)),
    ] {
        let (mut world, point) = world_with(&bytes);
        pass(&mut world, 58);
        assert_eq!(asides(&world), [] as [String; 0], "{} bytes", bytes.len());
        assert_eq!(world.query("a"), [point]);
        assert!(world.count(Counter::ErrorsBroken) >= 5);
        pass(&mut world, 10);
        let asides = asides(&world);
        assert_eq!(asides.len(), 1, "{} bytes", bytes.len());
        let time = asides[0].strip_prefix("/data/a.wsp.broken-").unwrap();
        assert!(time.parse::<u32>().unwrap() >= 1_700_000_060);
        assert_eq!(world.disk.files[Path::new(&asides[0])], bytes, "untouched");
        assert_eq!(world.disk.points(FILE), [point]);
        let counts = [Counter::SetAside, Counter::Creates, Counter::Committed];
        assert_eq!(counts.map(|counter| world.count(counter)), [1, 1, 1]);
        assert_eq!(
            world.count(Counter::Errors),
            world.count(Counter::ErrorsBroken)
        );
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_left_alone() {
    let (mut world, point) = world_with(b"");
    // A copy in progress: it grows, and then only its time goes on.
    for second in 0..200 {
        let file = world.disk.files.get_mut(Path::new(FILE)).unwrap();
        if second < 20 {
            file.push(0);
        }
        if second % 20 == 0 {
            world.disk.changed.insert(FILE.into(), second);
        }
        pass(&mut world, 1);
    }
    assert_eq!(asides(&world), [] as [String; 0]);
    // It is complete.
    world.disk.files.insert(FILE.into(), sound());
    pass(&mut world, 61);
    assert!(world.disk.points(FILE).contains(&point));
    assert_eq!(world.count(Counter::SetAside), 0);
    // Broken again: the minute begins anew.
    let second = world.point(4, 2.0);
    world.disk.files.insert(FILE.into(), Vec::new());
    world.take("a", second);
    pass(&mut world, 58);
    assert_eq!(asides(&world), [] as [String; 0]);
    pass(&mut world, 10);
    // What the broken file had been given last is in the new one, too.
    assert_eq!(world.disk.points(FILE), [point, second]);
}

#[test]
fn a_change_in_the_last_moment_keeps_the_name() {
    let (mut world, point) = world_with(b"");
    pass(&mut world, 60);
    // The operation is out when somebody writes.
    world.hold = true;
    while !world
        .held
        .iter()
        .any(|(_, _, operation)| matches!(operation, FileOperation::SetAside { .. }))
    {
        world.later(1);
        for _ in 0..10 {
            world.turn();
            let (last, earlier): (Vec<_>, Vec<_>) = std::mem::take(&mut world.held)
                .into_iter()
                .partition(|(_, _, operation)| matches!(operation, FileOperation::SetAside { .. }));
            world.held = last;
            for (shard, token, operation) in earlier {
                let result = world.disk.carry_out(operation);
                world.shards[shard].complete(token, result);
            }
        }
    }
    world.disk.files.insert(FILE.into(), sound());
    world.hold = false;
    pass(&mut world, 70);
    assert_eq!(asides(&world), [] as [String; 0]);
    assert!(world.disk.points(FILE).contains(&point));
}

#[test]
fn what_another_program_may_read_is_never_set_aside() {
    let mut compressed = b"whisper_compressed".to_vec();
    compressed.resize(5000, 1);
    let later_method = spoilt(|bytes| bytes[3] = 11);
    for bytes in [compressed, later_method] {
        let (mut world, point) = world_with(&bytes);
        pass(&mut world, 300);
        assert_eq!(world.disk.files[Path::new(FILE)], bytes);
        assert_eq!(world.query("a"), [point]);
        assert_eq!(world.count(Counter::ErrorsBroken), 0);
        assert!(world.count(Counter::ErrorsForeign) > 5);
    }
}

#[test]
fn each_error_is_counted_by_its_cause_and_only_delays() {
    for (errno, counter) in [
        (28, Counter::ErrorsNoSpace),
        (122, Counter::ErrorsQuota),
        (5, Counter::ErrorsIo),
        (24, Counter::ErrorsDescriptors),
        (13, Counter::ErrorsAccess),
        (36, Counter::ErrorsNameTooLong),
        (30, Counter::ErrorsReadOnly),
        (21, Counter::ErrorsDirectory),
        (40, Counter::ErrorsOther),
    ] {
        for stage in [Stage::Create, Stage::Open, Stage::Write] {
            let mut world = World::new(1, None);
            let mut written = Vec::new();
            if stage != Stage::Create {
                // A new file has its first point from the start.
                written.push(world.point(60, 2.0));
                world.take("a", written[0]);
                pass(&mut world, 10);
                assert_eq!(world.disk.points(FILE), written);
            }
            world.disk.failing = vec![(stage, errno)];
            let point = world.point(5, 1.0);
            world.take("a", point);
            world.settle();
            pass(&mut world, 200);
            assert_eq!(world.query("a"), [point], "{stage:?} {errno}");
            let errors = world.count(Counter::Errors);
            assert!((8..14).contains(&errors), "{errors} errors in 200 s");
            assert_eq!(world.count(counter), errors, "{stage:?} {errno}");
            world.disk.failing.clear();
            pass(&mut world, 61);
            written.push(point);
            assert_eq!(world.disk.points(FILE), written, "{stage:?} {errno}");
            assert_eq!(world.count(Counter::SetAside), 0);
        }
    }
}

#[test]
fn a_broken_file_that_cannot_be_renamed_waits_and_is_tried_again() {
    let (mut world, point) = world_with(b"");
    world.disk.failing = vec![(Stage::SetAside, 30)];
    pass(&mut world, 200);
    assert_eq!(asides(&world), [] as [String; 0]);
    assert_eq!(world.query("a"), [point]);
    assert!(world.count(Counter::ErrorsReadOnly) > 0);
    world.disk.failing.clear();
    pass(&mut world, 200);
    assert_eq!(asides(&world).len(), 1);
    assert_eq!(world.disk.points(FILE), [point]);
}

#[test]
fn a_stop_gives_a_broken_files_points_up_and_keeps_the_file() {
    let (mut world, _) = world_with(b"");
    world.shards[0].drain();
    pass(&mut world, 30);
    assert!(world.shards[0].is_drained());
    assert_eq!(world.count(Counter::DroppedAtStop), 1);
    assert_eq!(world.disk.files[Path::new(FILE)], b"");
    assert_eq!(asides(&world), [] as [String; 0]);
    // What comes later, from an earlier run's journal, say, does not hold the stop up for ever.
    let later = world.point(5, 2.0);
    world.take("a", later);
    pass(&mut world, 30);
    assert!(world.shards[0].is_drained());
    assert_eq!(world.count(Counter::DroppedAtStop), 2);
}

/// Hears what is said by this thread.
#[derive(Clone)]
struct Ear(Sender<String>);

impl tracing::field::Visit for Ear {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.send(format!("{value:?}")).unwrap();
        }
    }
}

impl tracing::Subscriber for Ear {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn the_name_that_is_said_is_the_one_the_file_has() {
    let (ear, heard) = channel();
    let (mut world, _) = world_with(&[]);
    tracing::subscriber::with_default(Ear(ear), || {
        for _ in 0..100 {
            world.later(1);
            while world.turn() {
                // The disk takes its time for a rename.
                let is_rename =
                    |(_, _, operation): &_| matches!(operation, FileOperation::SetAside { .. });
                if world.held.iter().any(is_rename) {
                    world.later(3);
                }
            }
        }
    });
    let asides = asides(&world);
    assert_eq!(asides.len(), 1);
    let said = heard.try_iter().find(|said| said.contains(".broken-"));
    let said = said.expect("a line about it");
    assert!(said.contains(&asides[0]), "{said} of {asides:?}");
}

//! What becomes of a datagram's points where there is no place for them at once, and who waits while
//! names are judged. What connections may hold and cost is in `bounds`, what a stop reads of them in
//! `last_reads`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use benzene_engine::cache::{CacheConfig, Strategy};
use benzene_engine::clock;
use benzene_engine::journal::{DataSync, JournalConfig, OnError, Sync};
use benzene_engine::limiter::{Budget, Room};
use benzene_engine::limits::{METRIC_NAME_BYTES_MAX, TURN_BYTES_MAX, TURN_SLICE_BYTES};
use benzene_engine::metric::ShardIndex;
use benzene_engine::ring::{Driver, End, Ring, RingConfig, SocketId};
use benzene_engine::schemas::Schemas;
use benzene_engine::shard::{Message, Reply, Shard, ShardConfig, Trail};
use benzene_engine::stats::Counter;
use benzene_engine::writer::{Budgets, Further, WriterConfig};

use super::{Command, Entrance, Front, FrontConfig, Intake, Refused};
use crate::config::Service;
use crate::lists::{List, Lists};

mod bounds;
mod last_reads;

const POINTS: usize = 20_000;

/// The first of two shards, which has room for so many points.
fn shard(points_max: u64) -> Shard {
    shard_of(2, points_max)
}

fn shard_of(shards: u16, points_max: u64) -> Shard {
    shard_with(shards, points_max, None)
}

fn shard_with(shards: u16, points_max: u64, journal: Option<JournalConfig>) -> Shard {
    shard_in(shards, Room::new(Some(points_max), 1 << 30), journal)
}

fn shard_in(shards: u16, room: Room, journal: Option<JournalConfig>) -> Shard {
    let now = clock::now();
    let budget = || Arc::new(Budget::new(None, 0.1, now.instant));
    let schemas = Schemas::parse("[all]\npattern = .*\nretentions = 1s:1h\n").unwrap();
    let config = ShardConfig {
        index: ShardIndex(0),
        shards,
        seed: 7,
        cache: CacheConfig {
            seed: 7,
            max_point_age_s: 60,
            waiting_points_max: 1 << 30,
            ..CacheConfig::new(Strategy::Sorted, now.instant)
        },
        writer: WriterConfig {
            schemas: Arc::new(schemas.0),
            ..WriterConfig::new("/data")
        },
        budgets: Budgets {
            updates: budget(),
            creates: budget(),
        },
        further: Further::default(),
        room: Arc::new(room),
        journal,
        recall: None,
    };
    Shard::new(config, now)
}

/// Takes what is on its way to the other shard, and says how many points that were.
fn take_away(shard: &mut Shard) -> usize {
    let messages = std::iter::from_fn(|| shard.next_message(ShardIndex(1)));
    let points = messages.map(|message| match message {
        Message::Points(_, batch) => batch.len(),
        Message::Question(_) | Message::Answer(_) => 0,
    });
    points.sum()
}

/// Hands a datagram of this metric to the shard, and whenever it takes no more of it, takes away
/// what is on its way. Says how often that was, how many points were taken away, and how many lost.
fn hand_over(name: &str, shard: &mut Shard) -> (u32, usize, u64) {
    let mut intake = Intake::new(1, true, clock::now());
    let mut refused = Refused::default();
    let lines: Vec<String> = (1..=POINTS).map(|at| format!("{name} 1 {at}")).collect();
    let (datagram, mut trail) = (lines.join("\n").into_bytes(), Trail::default());
    let (mut at, mut waits, mut passed_on) = (0, 0, 0);
    loop {
        let rest = &datagram[at..];
        at += intake.datagram(&mut trail, rest, (shard, &mut refused)).0;
        passed_on += take_away(shard);
        if at == datagram.len() {
            let dropped = shard.report().stats.get(Counter::DroppedCacheFull);
            return (waits, passed_on, dropped);
        }
        waits += 1;
    }
}

#[test]
fn a_datagram_waits_for_its_way_to_another_shard() {
    let mut owners = [0, 0];
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (waits, passed_on, dropped) = hand_over(name, &mut shard(1 << 30));
        assert_eq!(dropped, 0);
        assert_eq!(passed_on, [0, POINTS][usize::from(waits > 0)]);
        owners[usize::from(waits > 0)] += 1;
    }
    assert!(owners.iter().all(|count| *count > 0), "{owners:?}");
}

#[test]
fn a_datagram_does_not_wait_for_a_full_cache() {
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let (waits, passed_on, dropped) = hand_over(name, &mut shard(10_000));
        assert!(passed_on == 0 || waits > 0);
        assert_eq!(dropped, POINTS as u64 - 10_000);
    }
}

/// A front that serves connections of lines, and the ring that numbers them.
fn front(ring: &mut Ring, connections: usize) -> (Front, Vec<SocketId>) {
    front_of(ring, &vec![Service::Line; connections])
}

fn front_of(ring: &mut Ring, services: &[Service]) -> (Front, Vec<SocketId>) {
    front_with(ring, services, FrontConfig::quiet(clock::now()))
}

fn front_with(
    ring: &mut Ring,
    services: &[Service],
    config: FrontConfig,
) -> (Front, Vec<SocketId>) {
    let mut front = Front::new(config, clock::now());
    let sockets = services.iter().map(|service| {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = ring.adopt(ours.into());
        let entrance = Entrance {
            service: *service,
            instance: 0,
        };
        front.open(socket, entrance);
        socket
    });
    let sockets = sockets.collect();
    (front, sockets)
}

fn ring() -> Ring {
    Ring::new(RingConfig {
        driver: Driver::PollSync,
        file_threads: 1,
        ..RingConfig::default()
    })
    .unwrap()
}

/// Patterns that a name with a long word is given up on at, each of which takes longer than a turn has
/// for judging, and one that names match.
const SLOW: &str = "^(\\w|\\w)+(?=[?!])$\n^(\\w|\\w)+(?=[!?])$\n\\.spam$\n";
const WORD: &str = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";

fn blacklist(text: &str) -> Arc<Lists> {
    let (blacklist, warnings) = List::parse(Path::new("blacklist.conf"), text).unwrap();
    assert_eq!(warnings, []);
    Arc::new(Lists {
        blacklist: blacklist.into(),
        whitelist: List::empty(Path::new("whitelist.conf")).into(),
    })
}

/// A turn of the loop, as far as it concerns what is held.
fn turn(front: &mut Front, shard: &mut Shard) {
    front.begin_turn(clock::now());
    front.resume(TURN_BYTES_MAX, shard);
}

/// The cached points of a metric, by time.
fn cached(name: &str, shard: &mut Shard) -> BTreeMap<u32, f64> {
    assert_eq!(shard.ask_points(1, std::iter::once(name)), 1);
    let Some(Reply::Points(found)) = shard.next_answer().map(|answer| answer.reply) else {
        panic!("no answer about {name}");
    };
    let points = found.into_iter().flat_map(|(_, points)| points);
    points.map(|point| (point.timestamp, point.value)).collect()
}

const NEW_NAMES: u32 = 6;

/// What a sender of new names sends: names that take long, names that are refused, and between them a
/// metric whose points come in an order that can be seen.
fn new_names(sender: usize, time: u32) -> Vec<u8> {
    let lines = (0..NEW_NAMES).map(|number| {
        let new = format!("{WORD}.s{sender}.m{number}");
        let at = time - NEW_NAMES + number;
        format!("{new} 1 {time}\n{new}.spam 1 {time}\nold.s{sender} {number} {at}\nlast.s{sender} {number} {time}\n")
    });
    lines.collect::<String>().into_bytes()
}

#[test]
fn names_that_take_long_keep_only_their_own_connections_waiting() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let services = [Service::Line, Service::Datagram, Service::Line];
    let (mut front, sockets) = front_of(&mut ring, &services);
    let [one, two, quick] = sockets[..] else {
        unreachable!("three were opened")
    };
    front.set_lists(blacklist(SLOW), &mut shard);
    let time = clock::now().unix_seconds;
    front.received(quick, format!("quick 1 {time}\n").as_bytes(), &mut shard);
    assert_eq!(shard.accepted(), 1);

    front.received(one, &new_names(1, time), &mut shard);
    front.received(two, &new_names(2, time), &mut shard);
    // What is known does not wait, and what is not does, behind the others.
    let lines = format!("quick 2 {time}\nnew.quick 3 {time}\nquick 4 {time}\n");
    front.received(quick, lines.as_bytes(), &mut shard);
    assert_eq!(shard.accepted(), 2);
    assert_eq!(cached("quick", &mut shard), BTreeMap::from([(time, 2.0)]));
    // One whose sender has gone is worked off all the same.
    front.ended(one, End::Closed, &mut shard);

    let (mut turns, mut quick_turns) = (0, None);
    while !front.unjudged.is_empty() {
        turn(&mut front, &mut shard);
        turns += 1;
        if cached("quick", &mut shard)[&time] > 3.0 && quick_turns.is_none() {
            assert!(!front.unjudged.is_empty(), "it was served last");
            quick_turns = Some(turns);
        }
    }
    assert!(quick_turns.is_some());
    assert!(turns > 2 * NEW_NAMES, "{turns} turns");
    let new_names = u64::from(NEW_NAMES);
    // Of each sender its names, as many old ones and last ones; and four of the quick one.
    assert_eq!(shard.accepted(), 2 * 3 * new_names + 4);
    assert_eq!(shard.counted(Counter::RefusedBlacklist), 2 * new_names);
    for sender in [1, 2] {
        let old = cached(&format!("old.s{sender}"), &mut shard);
        let expected = (0..NEW_NAMES).map(|number| (time - NEW_NAMES + number, f64::from(number)));
        assert_eq!(old, expected.collect(), "{sender}");
        let last = cached(&format!("last.s{sender}"), &mut shard);
        assert_eq!(last[&time].to_bits(), f64::from(NEW_NAMES - 1).to_bits());
    }
    let commands: Vec<Command> = std::iter::from_fn(|| front.next_command()).collect();
    let is_closed =
        |command: &Command| matches!(command, Command::Close(closed, _) if *closed == one);
    assert!(commands.iter().any(is_closed), "{commands:?}");
}

#[test]
fn a_name_that_was_let_in_waits_for_room_and_is_not_judged_again() {
    let (mut ring, mut shard) = (ring(), shard(1 << 30));
    let (mut front, sockets) = front(&mut ring, 2);
    front.set_lists(blacklist(SLOW), &mut shard);
    let time = clock::now().unix_seconds;
    // The way to the other shard is full.
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let lines = format!("{name} 1 {time}\n").repeat(POINTS);
        for slice in lines.as_bytes().chunks(TURN_SLICE_BYTES) {
            front.received(sockets[0], slice, &mut shard);
        }
    }
    assert!(shard.is_congested());
    let lines = (0..8).map(|number| format!("{WORD}.m{number} 1 {time}\n"));
    front.received(sockets[1], lines.collect::<String>().as_bytes(), &mut shard);
    for _ in 0..200 {
        turn(&mut front, &mut shard);
    }
    assert!(front.unjudged.is_empty(), "all but room was waited for");
    let waiting = shard.counted(Counter::ListGaveUp);
    assert!((1..8).contains(&waiting), "{waiting} were judged");
    let mut passed_on = 0;
    while front.stalled.len() + front.unjudged.len() > 0 {
        passed_on += take_away(&mut shard);
        turn(&mut front, &mut shard);
    }
    passed_on += take_away(&mut shard);
    assert_eq!(shard.counted(Counter::ListGaveUp), 8);
    assert_eq!(shard.accepted() + passed_on as u64, 8 * POINTS as u64 + 8);
}

#[test]
fn lists_that_change_meanwhile_judge_the_name_anew() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front(&mut ring, 1);
    front.set_lists(blacklist(SLOW), &mut shard);
    let line = format!("{WORD}.m 1 {}\n", clock::now().unix_seconds);
    front.received(sockets[0], line.as_bytes(), &mut shard);
    assert!(!front.unjudged.is_empty());
    front.set_lists(blacklist("x\n^mmm\n"), &mut shard);
    while !front.unjudged.is_empty() {
        turn(&mut front, &mut shard);
    }
    assert_eq!(shard.accepted(), 0);
    assert_eq!(shard.counted(Counter::RefusedBlacklist), 1);
}

#[test]
fn a_name_too_long_for_a_metric_is_refused_and_not_searched() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front(&mut ring, 1);
    front.set_lists(blacklist(&format!("{SLOW}m")), &mut shard);
    let line = format!("{} 1 {}\n", "m".repeat(METRIC_NAME_BYTES_MAX + 1), 1);
    front.received(sockets[0], line.as_bytes(), &mut shard);
    assert!(!front.has_work());
    assert_eq!(shard.counted(Counter::RefusedName), 1);
    assert_eq!(shard.counted(Counter::ListGaveUp), 0);
}

/// A journal whose disk has not answered yet.
fn silent_journal() -> JournalConfig {
    JournalConfig {
        directory: "/journal".into(),
        shard: 0,
        epoch: 1,
        segment_bytes: 64 << 20,
        segments_max: 8,
        commit: Duration::from_millis(10),
        sync: Sync::Every(Duration::from_secs(1)),
        on_error: OnError::Continue,
        data_sync: Arc::new(DataSync::default()),
        mount: 1,
    }
}

#[test]
fn without_flow_control_nothing_is_dropped_because_the_journal_is_waited_for() {
    let (mut ring, points_max) = (ring(), 1 << 30);
    let mut shard = shard_with(1, points_max, Some(silent_journal()));
    let config = FrontConfig {
        intake: Intake::new(1, false, clock::now()),
        ..FrontConfig::quiet(clock::now())
    };
    let (mut front, sockets) = front_with(&mut ring, &[Service::Line], config);
    let time = clock::now().unix_seconds;
    let mut sent = 0;
    while shard.has_room() {
        let lines = (sent..sent + 200).map(|at| format!("a {at}.25 {}\n", time - at % 3000));
        shard.begin_turn(clock::now());
        front.received(sockets[0], lines.collect::<String>().as_bytes(), &mut shard);
        shard.end_turn();
        sent += 200;
        assert!(sent < 10_000_000, "the journal's buffers are never full");
    }
    assert!(!shard.is_full());
    front.received(sockets[0], format!("b 1 {time}\n").as_bytes(), &mut shard);
    assert_eq!(front.stalled, [sockets[0]]);
    assert_eq!(shard.counted(Counter::DroppedCacheFull), 0);
}

/// What is sent compressed, as it is in the middle of such a stream.
fn packed(plain: &[u8]) -> Vec<u8> {
    let length = u16::try_from(plain.len()).unwrap();
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()];
    [&[0][..], &lengths.concat(), plain].concat()
}

#[test]
fn the_last_line_of_what_came_compressed_waits_for_room_and_is_taken() {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let time = clock::now().unix_seconds;
    for has_begun in [false, true] {
        let (mut ring, mut shard) = (ring(), shard_of(1, 64));
        let (mut front, sockets) = front(&mut ring, 2);
        let lines = (0..64).map(|back| format!("full 1 {}\n", time - back));
        let lines: String = lines.collect();
        front.received(sockets[0], lines.as_bytes(), &mut shard);
        assert_eq!(shard.accepted(), 64);
        let line = format!("late 1 {time}\n");
        // The line comes whole, or has begun in what was unpacked before.
        let (begin, end) = line.split_at(if has_begun { 7 } else { 0 });
        let bytes = [
            &header[..],
            &packed(begin.as_bytes()),
            &packed(end.as_bytes()),
        ]
        .concat();
        let split = header.len() + packed(begin.as_bytes()).len();
        front.received(sockets[1], &bytes[..split], &mut shard);
        front.received(sockets[1], &bytes[split..], &mut shard);
        assert_eq!(cached("late", &mut shard), BTreeMap::new());
        shard.drain();
        shard.take_all_past_bound();
        turn(&mut front, &mut shard);
        assert_eq!(
            cached("late", &mut shard),
            BTreeMap::from([(time, 1.0)]),
            "{has_begun}"
        );
    }
}

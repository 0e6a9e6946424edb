//! What connections may hold and cost, whatever their senders do: compressed streams, decoded frames,
//! replies that nobody reads, and what waits for room.

use std::time::Duration;

use benzene_engine::limiter::Room;
use benzene_engine::limits::{
    DECODED_BYTES_MAX, GZIP_STREAM_BYTES, GZIP_STREAMS_BYTES_MAX, HELD_TOGETHER_BYTES_MAX,
    REPLIES_BYTES_MAX, TURN_BYTES_MAX, TURN_ITEMS_MAX, TURN_SLICE_BYTES, UNFINISHED_BYTES_MAX,
};
use benzene_engine::ring::SocketId;
use benzene_engine::shard::Shard;
use benzene_engine::stats::Counter;
use miniz_oxide::deflate::compress_to_vec;

use super::{clock, front, front_of, front_with, ring, shard, shard_in, shard_of, turn};
use crate::config::Service;
use crate::front::intake::Intake;
use crate::front::memory::Use;
use crate::front::{Command, Front, FrontConfig};

/// Other connections have come to hold so much.
fn publish(front: &Front, kind: Use, bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap();
    front.config.memory.publish(kind, bytes);
}

/// They have let go of so much.
fn publish_less(front: &Front, kind: Use, bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap();
    front.config.memory.publish(kind, -bytes);
}

/// The connections that were closed by a reset, so that those who go on sending are told.
fn reset(front: &mut Front) -> Vec<SocketId> {
    let commands: Vec<Command> = std::iter::from_fn(|| front.next_command()).collect();
    let mut found = Vec::new();
    for two in commands.windows(2) {
        if let [Command::Reset(reset), Command::Close(closed, _)] = two
            && reset == closed
        {
            found.push(*reset);
        }
    }
    found
}

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

#[test]
fn a_compressed_stream_costs_what_it_unpacks_to() {
    let (mut ring, mut shard) = (ring(), shard(1 << 30));
    let (mut front, sockets) = front(&mut ring, 2);
    let lines = b"\n".repeat(1 << 20);
    let bomb = [&HEADER[..], &compress_to_vec(&lines, 6)].concat();
    assert!(bomb.len() < TURN_SLICE_BYTES, "{} bytes", bomb.len());
    let mut turns = 0;
    for socket in sockets {
        let cost = front.received(socket, &bomb, &mut shard);
        assert!(
            (TURN_SLICE_BYTES..TURN_SLICE_BYTES * 2).contains(&cost),
            "{cost}"
        );
    }
    // Both wait for their turns, which are bounded for both together.
    loop {
        while front.next_command().is_some() {}
        if !front.has_work() {
            break;
        }
        front.resume(TURN_BYTES_MAX, &mut shard);
        turns += 1;
    }
    assert!(
        turns >= 2 * lines.len() / TURN_BYTES_MAX - 2,
        "{turns} turns"
    );
}

#[test]
fn streams_that_never_end_share_a_bound() {
    let (mut ring, mut shard) = (ring(), shard(1 << 30));
    let room = GZIP_STREAMS_BYTES_MAX / GZIP_STREAM_BYTES;
    // Descriptors are few: one socket stands for them all, as the front touches none.
    let (mut front, sockets) = front(&mut ring, 10);
    for (index, socket) in sockets.iter().enumerate() {
        if index == 0 {
            publish(&front, Use::Streams, (room - 5) * GZIP_STREAM_BYTES);
        }
        front.begin_turn(clock::now());
        front.received(*socket, &HEADER, &mut shard);
    }
    // Those who have been silent longest.
    assert_eq!(reset(&mut front), sockets[..5]);
    assert_eq!(shard.report().stats.get(Counter::ClosedUnfinished), 5);
}

#[test]
fn streams_that_wait_for_us_cost_nobody_else_his_connection() {
    let (mut ring, mut shard) = (ring(), shard(1 << 30));
    let (mut front, sockets) = front(&mut ring, 4);
    let bomb = [&HEADER[..], &compress_to_vec(&b"\n".repeat(1 << 20), 6)].concat();
    front.received(sockets[0], b"half a li", &mut shard);
    publish(
        &front,
        Use::Streams,
        GZIP_STREAMS_BYTES_MAX - GZIP_STREAM_BYTES,
    );
    // The first has room, and none of the others: each of them goes, as all before it wait for us.
    for socket in &sockets[1..] {
        front.received(*socket, &bomb, &mut shard);
    }
    assert_eq!(reset(&mut front), sockets[2..]);
    assert_eq!(shard.counted(Counter::ClosedUnfinished), 2);
    // Nor do they close a line that is not at its end.
    publish(&front, Use::Unfinished, UNFINISHED_BYTES_MAX / 2);
    front.received(sockets[0], b"ne", &mut shard);
    assert_eq!(reset(&mut front), []);
}

/// A frame of one point that stands in it so many times, in two bytes each.
fn many_of_one(name: &str, items: usize, time: u32) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let mut pickle = b"\x80\x02](X".to_vec();
    pickle.extend([length, 0, 0, 0]);
    pickle.extend(name.as_bytes());
    pickle.push(b'J');
    pickle.extend(time.to_le_bytes());
    pickle.extend(b"K\x01\x86\x86q\0");
    pickle.extend(b"h\0".repeat(items - 1));
    pickle.extend(b"e.");
    framed(&pickle)
}

fn framed(pickle: &[u8]) -> Vec<u8> {
    let length = u32::try_from(pickle.len()).unwrap();
    [&length.to_be_bytes()[..], pickle].concat()
}

#[test]
fn decoded_frames_that_wait_share_a_bound() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front_of(&mut ring, &[Service::Pickle, Service::Pickle]);
    let time = clock::now().unix_seconds;
    let [long, short] = sockets[..] else {
        unreachable!("two were opened")
    };
    publish(&front, Use::Decoded, DECODED_BYTES_MAX + 1);
    // Nothing is decoded before there is room for it, and nothing is lost.
    front.received(
        long,
        &many_of_one("a", 3 * TURN_ITEMS_MAX, time),
        &mut shard,
    );
    turn(&mut front, &mut shard);
    assert_eq!(shard.counted(Counter::Received), 0);
    publish_less(&front, Use::Decoded, DECODED_BYTES_MAX / 2 + 1);
    turn(&mut front, &mut shard);
    assert_eq!(shard.counted(Counter::Received), TURN_ITEMS_MAX as u64);
    // What is left of it counts.
    publish(&front, Use::Decoded, DECODED_BYTES_MAX / 2);
    front.received(short, &many_of_one("b", 1, time), &mut shard);
    assert_eq!(shard.counted(Counter::Received), TURN_ITEMS_MAX as u64);
    for _ in 0..3 {
        turn(&mut front, &mut shard);
    }
    let all = 3 * TURN_ITEMS_MAX as u64 + 1;
    assert_eq!(shard.counted(Counter::Received), all);
}

#[test]
fn items_count_in_a_turn_however_few_bytes_they_are() {
    const SENDERS: usize = 20;
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front_of(&mut ring, &[Service::Pickle; SENDERS]);
    let time = clock::now().unix_seconds;
    for socket in sockets {
        let cost = front.received(socket, &many_of_one("a", 2000, time), &mut shard);
        assert!(cost > TURN_BYTES_MAX / 2, "{cost}");
    }
    let mut before = shard.counted(Counter::Received);
    assert_eq!(before, (SENDERS * TURN_ITEMS_MAX) as u64);
    while front.has_work() {
        while front.next_command().is_some() {}
        turn(&mut front, &mut shard);
        let after = shard.counted(Counter::Received);
        assert!(
            after - before <= 2 * TURN_ITEMS_MAX as u64,
            "{before} to {after}"
        );
        before = after;
    }
    assert_eq!(before, (SENDERS * 2000) as u64);
}

/// Where senders are not slowed, a frame that takes several turns is worked off in a full cache too.
#[test]
fn what_is_to_be_dropped_waits_for_no_room() {
    let room = Room::new(Some(100), 1 << 30).without_low_mark();
    let (mut ring, mut shard) = (ring(), shard_in(1, room, None));
    let now = clock::now();
    let config = FrontConfig {
        intake: Intake::new(1, false, now),
        ..FrontConfig::quiet(now)
    };
    let services = [Service::Line, Service::Pickle];
    let (mut front, sockets) = front_with(&mut ring, &services, config);
    let (time, points) = (now.unix_seconds, 3 * TURN_ITEMS_MAX);
    for number in 0..100 {
        let line = format!("full.m{number} 1 {time}\n");
        front.received(sockets[0], line.as_bytes(), &mut shard);
    }
    front.received(sockets[1], &many_of_one("a", points, time), &mut shard);
    for _ in 0..4 {
        turn(&mut front, &mut shard);
    }
    assert_eq!(shard.report().usage.points, 100);
    let dropped = shard.report().stats.get(Counter::DroppedCacheFull);
    assert_eq!(dropped, points as u64);
}

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    [b"X", &length.to_le_bytes()[..], text.as_bytes()].concat()
}

/// A request for the points of a metric.
fn query(metric: &str) -> Vec<u8> {
    query_of(&text(metric))
}

/// The same for a pickled object.
fn query_of(metric: &[u8]) -> Vec<u8> {
    let parts = ["type", "cache-query", "metric"].map(text).concat();
    framed(&[b"\x80\x03}(", &parts[..], metric, b"u."].concat())
}

/// Passes answers on to the front, and says to whom replies go.
fn replies(front: &mut Front, shard: &mut Shard) -> Vec<SocketId> {
    while let Some(answer) = shard.next_answer() {
        front.answer(answer, shard);
    }
    let commands = std::iter::from_fn(|| front.next_command());
    let mut sends = Vec::new();
    for command in commands {
        if let Command::Send(socket, _) = command {
            sends.push(socket);
        }
    }
    sends
}

#[test]
fn a_query_behind_another_waits_for_no_room_in_the_cache() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1));
    let (mut front, sockets) = front_of(&mut ring, &[Service::Line, Service::Query]);
    let time = clock::now().unix_seconds;
    front.received(sockets[0], format!("a 1 {time}\n").as_bytes(), &mut shard);
    assert!(!shard.has_room());
    let long = query(&"m".repeat(3 * TURN_BYTES_MAX));
    front.received(sockets[1], &[query("a"), long].concat(), &mut shard);
    assert_eq!(replies(&mut front, &mut shard), [sockets[1]]);
    front.sent(sockets[1], Ok(()), &mut shard);
    assert_eq!(replies(&mut front, &mut shard), [sockets[1]]);
}

/// Python 3 finds nothing under a name of bytes, says so, and answers what was asked behind it.
#[test]
fn a_query_for_bytes_finds_nothing_and_keeps_its_connection() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front_of(&mut ring, &[Service::Query]);
    let asked = [query_of(b"C\x01a"), query("a")].concat();
    front.received(sockets[0], &asked, &mut shard);
    let Some(Command::Send(_, reply)) = front.next_command() else {
        panic!("no reply")
    };
    let none = [b"\x80\x02}", &text("datapoints")[..], b"]s."].concat();
    assert_eq!(reply, framed(&none));
    front.sent(sockets[0], Ok(()), &mut shard);
    assert_eq!(replies(&mut front, &mut shard), [sockets[0]]);
    assert_eq!(shard.counted(Counter::Queries), 2);
}

#[test]
fn replies_that_nobody_reads_share_a_bound() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front_of(&mut ring, &[Service::Query; 3]);
    front.received(sockets[0], &query("a"), &mut shard);
    assert_eq!(replies(&mut front, &mut shard), [sockets[0]]);
    front.sent(sockets[0], Ok(()), &mut shard);
    front.received(sockets[1], &query("a"), &mut shard);
    assert_eq!(replies(&mut front, &mut shard), [sockets[1]]);
    publish(&front, Use::Replies, REPLIES_BYTES_MAX);
    front.received(sockets[2], &query("a"), &mut shard);
    let answer = shard.next_answer().unwrap();
    front.answer(answer, &mut shard);
    let mut closed = Vec::new();
    while let Some(command) = front.next_command() {
        if let Command::Close(socket, _) = command {
            closed.push(socket);
        }
    }
    // Whose reply was read stays, and so does the newest.
    assert_eq!(closed, [sockets[1]]);
    assert_eq!(shard.counted(Counter::ClosedUnread), 1);
}

#[test]
fn what_a_client_sends_ahead_of_a_reply_counts_with_the_replies() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let (mut front, sockets) = front_of(&mut ring, &[Service::Query; 2]);
    for socket in &sockets {
        front.received(*socket, &query("a"), &mut shard);
        assert_eq!(replies(&mut front, &mut shard), [*socket]);
    }
    publish(&front, Use::Replies, REPLIES_BYTES_MAX - (64 << 10));
    // Whose reply has waited longest goes, and no sender is read less for it.
    front.received(sockets[1], &b"x".repeat(64 << 10), &mut shard);
    let closed: Vec<Command> = std::iter::from_fn(|| front.next_command()).collect();
    assert!(
        matches!(closed[..], [Command::Close(socket, _)] if socket == sockets[0]),
        "{closed:?}"
    );
    assert_eq!(shard.counted(Counter::ClosedUnread), 1);
    assert!(!front.config.memory.is_over(Use::Held));
}

#[test]
fn who_waits_for_room_shares_a_bound_and_is_not_closed() {
    let (mut ring, mut shard) = (ring(), shard_of(1, 1 << 30));
    let config = FrontConfig {
        client_idle: Some(Duration::from_secs(1)),
        ..FrontConfig::quiet(clock::now())
    };
    let services = [Service::Pickle, Service::Line];
    let (mut front, sockets) = front_with(&mut ring, &services, config);
    let time = clock::now().unix_seconds;
    publish(&front, Use::Held, HELD_TOGETHER_BYTES_MAX);
    assert!(!front.holds_too_much());
    let frame = many_of_one("a", 2 * TURN_ITEMS_MAX, time);
    front.received(sockets[0], &frame.repeat(2), &mut shard);
    // It waits for its turn, and what it holds is counted.
    assert!(front.holds_too_much());
    // Who is not read meanwhile is not silent.
    let mut later = clock::now();
    later.instant += Duration::from_secs(2);
    front.begin_turn(later);
    front.close_idle(&mut shard);
    assert_eq!(shard.counted(Counter::ClosedIdle), 0);
    for _ in 0..8 {
        turn(&mut front, &mut shard);
    }
    let all = 4 * TURN_ITEMS_MAX as u64;
    assert_eq!(shard.counted(Counter::Received), all);
    // It holds nothing any more.
    assert!(!front.config.memory.is_over(Use::Held));
    // Others hold too much, and nobody waits here: this core goes on.
    publish(&front, Use::Held, 1);
    assert!(front.config.memory.is_over(Use::Held));
    assert!(!front.holds_too_much());
    assert_eq!(reset(&mut front), []);
}

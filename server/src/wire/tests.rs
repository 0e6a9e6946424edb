//! Lines, frames, requests and replies: recorded vectors of real clients and daemons, and
//! properties: any bytes are survived, and how a stream is split never changes what it says.

use benzene_engine::limits::{LINE_BYTES_MAX, LINE_PENDING_BYTES_KEPT, QUERY_ERROR_BYTES_MAX};
use benzene_engine::point::Point;
use proptest::prelude::*;

use super::carbonlink::{self, QueryError, Request};
use super::client::{self, Datapoint, Reply, ReplyError};
use super::frame::{FrameError, Frames};
use super::line::{self, Splitter};
use super::pickle::{Machine, PickleError};
use super::window::Window;
use super::{Item, Refusal, Refusals, Stamp};

fn item(name: &str, stamp: Stamp, value: f64) -> Item<'_> {
    Item { name, stamp, value }
}

#[test]
fn stamps_truncate_toward_zero_like_int() {
    let at = |seconds| Some(Stamp::At(seconds));
    for (seconds, stamp) in [
        (0.0, at(0)),
        (-0.0, at(0)),
        (-0.999, at(0)),
        (-1.0, Some(Stamp::Now)),
        (-1.999, Some(Stamp::Now)),
        (-2.0, None),
        (1.999, at(1)),
        (4_294_967_295.0, at(u32::MAX)),
        (4_294_967_295.5, at(u32::MAX)),
        (4_294_967_296.0, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
        (f64::NEG_INFINITY, None),
    ] {
        assert_eq!(Stamp::from_seconds(seconds), stamp, "{seconds}");
    }
}

#[test]
fn every_refusal_has_its_own_place_and_counter() {
    let mut refusals = Refusals::default();
    for (index, refusal) in Refusal::ALL.iter().enumerate() {
        assert_eq!(*refusal as usize, index);
        assert!(refusal.counter().label().starts_with("refused."));
        refusals.add(*refusal);
    }
    refusals.add(Refusal::Nan);
    assert_eq!(refusals.get(Refusal::Nan), 2);
    assert_eq!(refusals.total(), Refusal::ALL.len() as u64 + 1);
    assert_eq!(refusals.iter().count(), Refusal::ALL.len());
}

#[test]
fn lines_in_every_form_that_python_takes() {
    for (text, name, stamp, value) in [
        (
            "a.b 42.17 1422797285",
            "a.b",
            Stamp::At(1_422_797_285),
            42.17,
        ),
        (
            "a.b 42.17 1422797285\r",
            "a.b",
            Stamp::At(1_422_797_285),
            42.17,
        ),
        ("a 1 0", "a", Stamp::At(0), 1.0),
        ("a inf 4294967295", "a", Stamp::At(u32::MAX), f64::INFINITY),
        ("a 1 1422797285.9", "a", Stamp::At(1_422_797_285), 1.0),
        ("a 1 1.5e3", "a", Stamp::At(1500), 1.0),
        ("a 1 -1", "a", Stamp::Now, 1.0),
        ("a 1 -1.999", "a", Stamp::Now, 1.0),
        ("a 1 -0.5", "a", Stamp::At(0), 1.0),
        ("  a\t\t1_0 \u{a0}\u{663}\u{2003}", "a", Stamp::At(3), 10.0),
        ("a\x1c1\x1f2\u{85}", "a", Stamp::At(2), 1.0),
        ("\u{e9}.\u{4e2d} 1 2", "\u{e9}.\u{4e2d}", Stamp::At(2), 1.0),
        ("a\0b\x7f 1 2", "a\0b\x7f", Stamp::At(2), 1.0),
        ("m;a=b;c=d 1 2", "m;a=b;c=d", Stamp::At(2), 1.0),
    ] {
        assert_eq!(
            line::parse(text.as_bytes()),
            Ok(item(name, stamp, value)),
            "{text:?}"
        );
    }
}

#[test]
fn lines_that_are_refused() {
    for (text, refusal) in [
        (b"".as_slice(), Refusal::Fields),
        (b"  ", Refusal::Fields),
        (b"a 1", Refusal::Fields),
        (b"a 1 2 3", Refusal::Fields),
        (b"a 1 2\rb 1 2", Refusal::Fields),
        (b"a 0x10 2", Refusal::Value),
        (b"a x 2", Refusal::Value),
        (b"a 1 x", Refusal::Timestamp),
        (b"a 1 nan", Refusal::Timestamp),
        (b"a 1 inf", Refusal::Timestamp),
        (b"a 1 -2", Refusal::Timestamp),
        (b"a 1 4294967296", Refusal::Timestamp),
        (b"a nan 2", Refusal::Nan),
        (b"a -NaN 2", Refusal::Nan),
        (b"a\xff 1 2", Refusal::Utf8),
        (b"a 1 2\xff", Refusal::Utf8),
    ] {
        assert_eq!(line::parse(text), Err(refusal), "{text:?}");
    }
    let long = "a".repeat(LINE_BYTES_MAX + 1);
    assert_eq!(line::parse(long.as_bytes()), Err(Refusal::LineLength));
}

#[test]
fn the_first_clock_of_a_piece_takes_no_bytes_for_a_time() {
    let first = |line: &[u8]| line::known(line, b"a", &mut line::Clock::default());
    assert_eq!(first(b"a 1 \0\0\0\0\0\0\0\0\0\0\n"), None);
    assert_eq!(first(b"a 1 1600000000\n"), Some((1.0, 1_600_000_000, 15)));
    assert_eq!(first(b"a 1 0000000000\n"), Some((1.0, 0, 15)));
}

#[test]
fn a_line_that_is_too_long_is_not_foreseen() {
    let known = |zeros: usize| {
        let line = format!("a 0.{}5 1600000000\n", "0".repeat(zeros));
        line::known(line.as_bytes(), b"a", &mut line::Clock::default()).is_some()
    };
    assert!(known(1000));
    assert!(!known(LINE_BYTES_MAX));
}

/// Lines or frames, in order.
type Said<E> = Vec<Result<Vec<u8>, E>>;

/// Everything that a splitter says of a stream that comes in the given pieces.
fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Said<Refusal> {
    let mut splitter = Splitter::default();
    let mut said = Vec::new();
    for piece in pieces {
        let mut at = 0;
        while let Some(line) = splitter.next(piece, &mut at) {
            said.push(line.map(<[u8]>::to_vec));
        }
        assert_eq!(at, piece.len());
        assert!(splitter.pending_bytes() <= 2 * LINE_BYTES_MAX);
    }
    said.extend(splitter.finish().err().map(Err));
    said
}

#[test]
fn lines_split_anywhere_are_the_same_lines() {
    let stream = b"a 1 2\nbb 3 4\r\n\n\r\nccc 5 6\nunfinished";
    let whole = split([stream.as_slice()]);
    let mut expected: Said<Refusal> = Vec::new();
    expected.extend([&b"a 1 2"[..], b"bb 3 4\r", b"ccc 5 6"].map(|line| Ok(line.to_vec())));
    expected.push(Err(Refusal::Unfinished));
    assert_eq!(whole, expected);
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(split(pieces), whole, "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_line_put_back_comes_again() {
    let mut splitter = Splitter::default();
    let mut at = 0;
    assert_eq!(splitter.next(b"a 1", &mut at), None);
    let (input, mut at) = (b" 2\nb 1 2\nc", 0);
    for line in [b"a 1 2".as_slice(), b"b 1 2"] {
        for _ in 0..3 {
            assert_eq!(splitter.next(input, &mut at), Some(Ok(line)));
            splitter.put_back(&mut at);
        }
        assert_eq!(splitter.next(input, &mut at), Some(Ok(line)));
    }
    assert_eq!(splitter.next(input, &mut at), None);
    assert_eq!(splitter.finish(), Err(Refusal::Unfinished));
    assert_eq!(splitter.finish(), Ok(()));
}

#[test]
#[should_panic(expected = "no line was handed out")]
fn a_line_is_put_back_once() {
    let (mut splitter, mut at) = (Splitter::default(), 0);
    assert!(splitter.next(b"a\n", &mut at).is_some());
    splitter.put_back(&mut at);
    splitter.put_back(&mut at);
}

#[test]
fn a_long_line_is_refused_up_to_its_newline() {
    let longest = vec![b'x'; LINE_BYTES_MAX];
    let too_long = vec![b'y'; LINE_BYTES_MAX + 1];
    let stream = [&longest[..], b"\n", &too_long, b"\nok 1 2\n", &too_long].concat();
    let expected = [
        Ok(longest),
        Err(Refusal::LineLength),
        Ok(b"ok 1 2".to_vec()),
        Err(Refusal::LineLength),
    ];
    assert_eq!(split([stream.as_slice()]), expected);
    for size in [1, 7, 1000, LINE_BYTES_MAX, LINE_BYTES_MAX + 1] {
        assert_eq!(split(stream.chunks(size)), expected, "pieces of {size}");
    }
    let (mut splitter, mut at) = (Splitter::default(), 0);
    assert_eq!(splitter.next(&stream[..9000], &mut at), None);
    assert!(splitter.pending_bytes() >= 9000);
    at = LINE_BYTES_MAX;
    assert!(splitter.next(&stream[..=LINE_BYTES_MAX], &mut at).is_some());
    assert_eq!(splitter.next(&stream[..=LINE_BYTES_MAX], &mut at), None);
    assert!(splitter.pending_bytes() <= LINE_PENDING_BYTES_KEPT);
}

#[test]
fn datagrams_split_where_python_splits() {
    let datagram = "a\nb\r\nc\rd\x0be\x0cf\x1cg\x1dh\x1ei\u{85}j\u{2028}k\u{2029}l\x1fm\n\nn\u{e9}";
    let lines: Vec<&[u8]> = line::datagram_lines(datagram.as_bytes()).collect();
    let expected = "a b c d e f g h i j k l\x1fm n\u{e9}"
        .split(' ')
        .map(str::as_bytes);
    assert!(expected.eq(lines.iter().copied()), "{lines:?}");
    let mixed = line::datagram_lines(b"a 1 2\nb\xff 1 2\nc 1 2").map(line::parse);
    let expected = [
        Ok(item("a", Stamp::At(2), 1.0)),
        Err(Refusal::Utf8),
        Ok(item("c", Stamp::At(2), 1.0)),
    ];
    assert!(mixed.eq(expected));
}

fn cut<'a>(
    frame_bytes_max: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Said<FrameError>, Result<(), Refusal>) {
    let mut frames = Frames::new(frame_bytes_max);
    let mut said = Vec::new();
    for piece in pieces {
        let mut at = 0;
        while let Some(frame) = frames.next(piece, &mut at) {
            let failed = frame.err();
            said.push(frame.map(<[u8]>::to_vec));
            if let Some(error) = failed {
                assert_eq!(frames.next(piece, &mut at), Some(Err(error)));
                return (said, frames.finish());
            }
        }
        assert_eq!(at, piece.len());
    }
    (said, frames.finish())
}

#[test]
fn frames_split_anywhere_are_the_same_frames() {
    let stream = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01d\0\0\0\x02e";
    let whole = cut(3, [stream.as_slice()]);
    let expected = [&b"abc"[..], b"", b"d"].map(|frame| Ok(frame.to_vec()));
    assert_eq!(whole, (expected.to_vec(), Err(Refusal::Unfinished)));
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(cut(3, pieces), whole, "cut at {first} and {second}");
        }
    }
    assert_eq!(cut(3, [&stream[..7]]).1, Ok(()));
    assert_eq!(cut(3, [&stream[..9]]).1, Err(Refusal::Unfinished));
}

#[test]
fn a_frame_beyond_the_bound_ends_the_stream() {
    let too_long = FrameError::TooLong {
        found_bytes: 4,
        bound_bytes: 3,
    };
    let stream = b"\0\0\0\x01a\0\0\0\x04bcde";
    let expected = vec![Ok(b"a".to_vec()), Err(too_long)];
    assert_eq!(cut(3, [stream.as_slice()]), (expected.clone(), Ok(())));
    assert_eq!(cut(3, stream.chunks(1)), (expected, Ok(())));
    // What is announced is not allocated.
    let (mut frames, mut at) = (Frames::new(usize::MAX), 0);
    assert_eq!(frames.next(b"\xff\xff\xff\xffa", &mut at), None);
    assert!(frames.pending_bytes() < 1000);
}

#[test]
fn an_unfinished_frame_takes_no_more_than_its_length() {
    let (mut frames, frame_bytes) = (Frames::new(1 << 20), (1 << 20) - 1);
    let stream = [&[0x00, 0x0f, 0xff, 0xff][..], &vec![7; frame_bytes]].concat();
    for piece in stream[..stream.len() - 1].chunks(65_536) {
        assert_eq!(frames.next(piece, &mut 0), None);
        let bytes = frames.pending_bytes();
        assert!(bytes <= frame_bytes, "{bytes} for a frame of {frame_bytes}");
    }
    assert!(frames.pending_bytes() >= frame_bytes - 1);
    let found = frames.next(&[7], &mut 0).unwrap().unwrap();
    assert_eq!(found.len(), frame_bytes);
    assert_eq!(frames.pending_bytes(), 0, "nothing is unfinished");
    frames.release();
    assert_eq!(frames.next(&[0, 0, 0], &mut 0), None);
    assert_eq!(frames.finish(), Err(Refusal::Unfinished));
}

/// A request in the frame that a client sends.
fn request(frame: &[u8]) -> Result<String, QueryError> {
    let mut machine = Machine::default();
    carbonlink::decode_request(frame, &mut machine).map(|request| format!("{request:?}"))
}

#[test]
fn requests_of_every_client() {
    let size = "carbon.agents.carbon_agent_server.cache.size";
    let param = "carbon.agents.carbon_agent_server.param.size";
    let long = "carbon.agents.carbon_agent_server.cache.queries";
    let p4 = "carbon.agents.carbon_agent_server.cache.size.of.52.b";
    let p5 = "carbon.agents.carbon_agent_server.cache.siz";
    let py3 = format!(
        "\x02}}q\0(X\x04\0\0\0typeq\x01X\x0b\0\0\0cache-queryq\x02X\x06\0\0\0metricq\x03X/\0\0\0{long}q\x04u."
    );
    for (frame, metric) in [
        // Python 2, protocol 2, either kind of str; then Python 3, protocols 2 to 5.
        (
            format!(
                "\x02}}q\x01(U\x06metricq\x02U,{size}q\x03U\x04typeq\x04U\x0bcache-queryq\x05u."
            ),
            size,
        ),
        (
            format!("\x02}}(U\x06metricX,\0\0\0{param}U\x04typeU\x0bcache-queryu."),
            param,
        ),
        (py3.clone(), long),
        (py3.replacen('\x02', "\x03", 1), long),
    ] {
        let frame = [b"\x80", frame.as_bytes()].concat();
        assert_eq!(
            request(&frame),
            Ok(format!("Query {{ metric: {metric:?} }}"))
        );
    }
    let p4 = (
        [
            b"\x80\x04\x95Z\0\0\0\0\0\0\0}\x94(\x8c\x06metric\x94\x8c4",
            p4.as_bytes(),
            b"\x94\x8c\x04type\x94\x8c\x0bcache-query\x94u.",
        ]
        .concat(),
        p4,
    );
    let p5 = (
        [b"\x80\x05\x95Q\0\0\0\0\0\0\0}\x94(\x8c\x04type\x94\x8c\x0bcache-query\x94\x8c\x06metric\x94\x8c+",
            p5.as_bytes(), b"\x94u."].concat(),
        p5,
    );
    for (frame, metric) in [p4, p5] {
        assert_eq!(
            request(&frame),
            Ok(format!("Query {{ metric: {metric:?} }}"))
        );
    }
    // Python 3, protocol 0.
    let p0 = b"(dp0\nVtype\np1\nVcache-query\np2\nsVmetric\np3\nVa.b\np4\ns.";
    assert_eq!(request(p0), Ok("Query { metric: \"a.b\" }".to_owned()));
}

/// What Python 3 can look up, and finds no points of: the connection stays.
#[test]
fn a_query_for_what_is_no_text_is_for_nothing() {
    let of = |metric: &[u8]| {
        let head = b"\x80\x03}(X\x04\0\0\0typeX\x0b\0\0\0cache-queryX\x06\0\0\0metric";
        request(&[&head[..], metric, b"u."].concat())
    };
    for metric in [
        &b"C\x03a.b"[..],
        b"N",
        b"\x88",
        b"K\x07",
        b"G?\xf0\0\0\0\0\0\0",
        b")",
        b"X\x01\0\0\0aK\x07\x86",
    ] {
        assert_eq!(of(metric), Ok("Nameless".to_owned()), "{metric:?}");
    }
    // What it cannot, and what is no UTF-8.
    for metric in [&b"]"[..], b"}", b"]\x85", b"X\x01\0\0\0\xff"] {
        let refused = Err(QueryError::Value { key: "metric" });
        assert_eq!(of(metric), refused, "{metric:?}");
    }
}

#[test]
fn requests_of_other_types_and_none() {
    let encoded = |texts: &[&str]| {
        let mut frame = b"}(".to_vec();
        for text in texts {
            frame.extend_from_slice(&[b'U', u8::try_from(text.len()).unwrap()]);
            frame.extend_from_slice(text.as_bytes());
        }
        frame.extend_from_slice(b"u.");
        frame
    };
    let key = "aggregationMethod";
    let set = [
        "type",
        "set-metadata",
        "metric",
        "m",
        "key",
        key,
        "value",
        "max",
    ];
    for (texts, expected) in [
        (
            &["type", "get-metadata", "metric", "m", "key", key][..],
            "GetMetadata { metric: \"m\", key: \"aggregationMethod\" }",
        ),
        (
            &set,
            "SetMetadata { metric: \"m\", key: \"aggregationMethod\", value: \"max\" }",
        ),
        (&["type", "foo"], "Unknown { kind: \"foo\" }"),
        // As in a Python dict, the last of equal keys counts.
        (
            &["type", "foo", "type", "cache-query", "metric", "m"],
            "Query { metric: \"m\" }",
        ),
    ] {
        assert_eq!(request(&encoded(texts)).as_deref(), Ok(expected));
    }
    let bulk = b"}(U\x04typeU\x10cache-query-bulkU\x07metrics](U\x01bq\0U\x01ah\0U\x01aeu.";
    assert_eq!(
        request(bulk),
        Ok("Bulk { metrics: [\"b\", \"a\"] }".to_owned())
    );
    let missing = |key| Err(QueryError::Missing { key });
    assert_eq!(request(&encoded(&["metric", "m"])), missing("type"));
    assert_eq!(
        request(&encoded(&["type", "cache-query"])),
        missing("metric")
    );
    assert_eq!(
        request(&encoded(&["type", "cache-query-bulk"])),
        missing("metrics")
    );
    assert_eq!(request(&encoded(&set[..6])), missing("value"));
    assert_eq!(
        request(b"](."),
        Err(PickleError::StackUnderflow { offset: 2 }.into())
    );
    assert_eq!(request(b"]."), Err(QueryError::NoDict));
    assert_eq!(
        request(b"}U\x04typeNs."),
        Err(QueryError::Value { key: "type" })
    );
    // 80 04 and nothing: a frame that is known to have killed another daemon.
    assert_eq!(
        request(b"\x80\x04"),
        Err(PickleError::Truncated { offset: 2 }.into())
    );
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(&mut out);
    let (header, body) = out["before".len()..].split_at(4);
    assert_eq!(header, u32::try_from(body.len()).unwrap().to_be_bytes());
    body.to_vec()
}

fn reply(frame: &[u8]) -> Result<Reply, ReplyError> {
    client::decode_reply(frame, &mut Machine::default())
}

const POINT: Point = Point {
    timestamp: 1_422_797_285,
    value: 42.17,
};

#[test]
fn replies_have_the_bytes_of_python_without_its_memo() {
    let points =
        |points: &[Point]| encoded(|out| carbonlink::encode_datapoints(points, out).unwrap());
    let start = b"\x80\x02}X\n\0\0\0datapoints]".as_slice();
    let one = b"J\xe5)\xceTG@E\x15\xc2\x8f\\(\xf6\x86".as_slice();
    assert_eq!(points(&[]), [start, b"s."].concat());
    assert_eq!(points(&[POINT]), [start, one, b"as."].concat());
    assert_eq!(
        points(&[POINT, POINT]),
        [start, b"(", one, one, b"es."].concat()
    );
    let late = Point {
        timestamp: u32::MAX,
        value: 0.0,
    };
    let late_point = b"\x8a\x05\xff\xff\xff\xff\0G\0\0\0\0\0\0\0\0\x86as.".as_slice();
    assert_eq!(points(&[late]), [start, late_point].concat());
    let error = encoded(|out| carbonlink::encode_invalid_type("foo", out));
    assert_eq!(
        error,
        b"\x80\x02}X\x05\0\0\0errorX\x1a\0\0\0Invalid request type \"foo\"s."
    );
    let bulk = [("a.b", [POINT].as_slice()), ("none", &[])];
    let bulk = encoded(|out| carbonlink::encode_bulk(bulk, out).unwrap());
    let start = b"\x80\x02}X\x12\0\0\0datapointsByMetric}(X\x03\0\0\0a.b]".as_slice();
    assert_eq!(bulk, [start, one, b"aX\x04\0\0\0none]us."].concat());
}

#[test]
fn replies_of_other_daemons_are_read() {
    let float = Datapoint {
        timestamp: 1_422_797_285.0,
        value: 42.17,
    };
    let python = b"\x80\x02}q\0X\n\0\0\0datapointsq\x01]q\x02GA\xd53\x8ay@\0\0G@E\x15\xc2\x8f\\(\xf6\x86q\x03as.";
    assert_eq!(reply(python), Ok(Reply::Datapoints(vec![float])));
    let go = b"\x80\x02}U\ndatapoints]J\xe5)\xceTG@E\x15\xc2\x8f\\(\xf6\x86as.";
    assert_eq!(reply(go), Ok(Reply::Datapoints(vec![float])));
    let empty = b"\x80\x02}q\0X\n\0\0\0datapointsq\x01]q\x02s.";
    assert_eq!(reply(empty), Ok(Reply::Datapoints(vec![])));
    let bulk = b"\x80\x02}q\0X\x12\0\0\0datapointsByMetricq\x01}q\x02(X\x03\0\0\0a.bq\x03]q\x04GA\xd53\x8ay@\0\0G@E\x15\xc2\x8f\\(\xf6\x86q\x05aX\x04\0\0\0noneq\x06]q\x07us.";
    let expected = vec![("a.b".to_owned(), vec![float]), ("none".to_owned(), vec![])];
    assert_eq!(reply(bulk), Ok(Reply::Bulk(expected)));
    let error = b"\x80\x02}q\0X\x05\0\0\0errorq\x01X\x1a\0\0\0Invalid request type \"foo\"q\x02s.";
    assert_eq!(
        reply(error),
        Ok(Reply::Error("Invalid request type \"foo\"".to_owned()))
    );
    assert_eq!(reply(b"}."), Err(ReplyError::Unknown));
    assert_eq!(reply(b"]."), Err(ReplyError::Unknown));
    let key = "datapoints";
    assert_eq!(reply(b"}U\ndatapointsNs."), Err(ReplyError::Value { key }));
    assert_eq!(
        reply(b"}U\ndatapoints]Nas."),
        Err(ReplyError::Value { key })
    );
    let points = b"K\x01K\x01\x86".repeat(20);
    let mut repeated = [
        b"}U\x12datapointsByMetric}(U\0]q\x01(",
        points.as_slice(),
        b"e",
    ]
    .concat();
    repeated.extend_from_slice(&b"U\x01ah\x01".repeat(20));
    repeated.extend_from_slice(b"us.");
    assert_eq!(reply(&repeated), Err(ReplyError::TooManyPoints));
}

#[test]
fn metadata_and_errors_round_trip_and_are_cut() {
    let value = encoded(|out| carbonlink::encode_value("average", out));
    assert_eq!(reply(&value), Ok(Reply::Value("average".to_owned())));
    let set = encoded(|out| carbonlink::encode_set("average", "max", out));
    let (old, new) = ("average".to_owned(), "max".to_owned());
    assert_eq!(reply(&set), Ok(Reply::Changed { old, new }));
    let long = "\u{e9}".repeat(QUERY_ERROR_BYTES_MAX);
    let error = encoded(|out| carbonlink::encode_error(&format!("x{long}"), out));
    let Ok(Reply::Error(text)) = reply(&error) else {
        panic!("no error reply: {error:?}");
    };
    assert_eq!(text.len(), QUERY_ERROR_BYTES_MAX - 1);
}

#[test]
fn a_reply_beyond_the_bound_is_not_written() {
    let points = vec![POINT; 1 << 20];
    let bulk = ["a", "b", "c"].map(|name| (name, points.as_slice()));
    let mut out = b"before".to_vec();
    let error = carbonlink::encode_bulk(bulk, &mut out).unwrap_err();
    assert!(error.bytes > error.bound_bytes);
    assert_eq!(out, b"before");
    assert!(carbonlink::encode_datapoints(&points, &mut out).is_ok());
    let mut out = Vec::new();
    assert!(client::encode_query(&"n".repeat(5 << 20), &mut out).is_err());
    assert!(out.is_empty());
}

/// Everything that is read of a stream in the given pieces, cut and read in one pass.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<String, Refusal>> {
    let mut splitter = Splitter::default();
    let mut said = Vec::new();
    for piece in pieces {
        let (mut window, mut at) = (Window::new(piece), 0);
        while let Some(item) = splitter.next_item(&mut window, &mut at) {
            said.push(item.map(|item| format!("{item:?}")));
            if said.len().is_multiple_of(3) && said.last().is_some_and(Result::is_ok) {
                splitter.put_back(&mut at);
                let again = splitter.next_item(&mut window, &mut at).unwrap();
                assert_eq!(said.last(), Some(&again.map(|item| format!("{item:?}"))));
            }
        }
        assert_eq!(at, piece.len());
    }
    said.extend(splitter.finish().err().map(Err));
    said
}

/// The same, cut first and read by Python's rules alone.
fn read_exactly(stream: &[u8]) -> Vec<Result<String, Refusal>> {
    let exactly = |line: Result<Vec<u8>, Refusal>| {
        // Whitespace in front of it is not the usual form.
        let line = [b" ".as_slice(), &line?].concat();
        line::parse(&line).map(|item| format!("{item:?}"))
    };
    split([stream]).into_iter().map(exactly).collect()
}

/// Lines as they come, usual and unusual, right and wrong.
fn any_lines() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![4 => "[!-~]{1,40}", 1 => "[a-c\u{e9}\t]{0,9}", 1 => "[a-z]{500,600}"];
    let value = prop_oneof![
        3 => "-?[0-9]{1,16}",
        3 => "-?[0-9]{0,9}\\.[0-9]{0,9}",
        1 => "[+-]?[0-9]{0,20}\\.?[0-9]{0,20}(e[+-]?[0-9]{1,3})?",
        1 => "nan|-inf|0x1|1_0|x|",
    ];
    let stamp = prop_oneof![6 => "[0-4][0-9]{9}", 1 => "[0-9]{1,11}", 1 => "-1|1e9|5\\.5|x|"];
    let space = prop_oneof![20 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("")];
    let end = prop_oneof![8 => Just("\n"), 4 => Just("\r\n"), 1 => Just(" \n"), 1 => Just("\r")];
    let line = (name, space.clone(), value, space, stamp, end).prop_map(
        |(name, one, value, two, stamp, end)| {
            format!("{name}{one}{value}{two}{stamp}{end}").into_bytes()
        },
    );
    let line = prop_oneof![30 => line, 1 => prop::collection::vec(any::<u8>(), 0..9)];
    prop::collection::vec(line, 0..60).prop_map(|lines| lines.concat())
}

proptest! {
    /// Cutting and reading in one pass says what cutting and exact reading say, however the stream
    /// comes in.
    #[test]
    fn one_pass_and_two_read_the_same(
        stream in any_lines(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let expected = read_exactly(&stream);
        prop_assert_eq!(&read([stream.as_slice()]), &expected);
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(&read(pieces), &expected);
    }

    #[test]
    fn any_stream_is_split_alike(
        lines in prop::collection::vec("[ -~]{0,40}\r?\n?", 0..20),
        cuts in prop::collection::vec(0usize..400, 0..6),
    ) {
        let stream = lines.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(split(pieces.clone()), split([stream.as_slice()]));
        prop_assert_eq!(cut(1 << 20, pieces), cut(1 << 20, [stream.as_slice()]));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut machine = Machine::default();
        let said = split([bytes.as_slice()]);
        prop_assert!(said.iter().flatten().all(|line| !line.contains(&b'\n')));
        for line in said.iter().flatten() {
            prop_assert!(line::parse(line).map_or(true, |item| !item.value.is_nan()));
        }
        prop_assert!(line::datagram_lines(&bytes).all(|line| !line.is_empty()));
        let (frames, _) = cut(100, [bytes.as_slice()]);
        prop_assert!(frames.iter().flatten().all(|frame| frame.len() <= 100));
        prop_assert!(carbonlink::decode_request(&bytes, &mut machine).is_err());
        prop_assert!(client::decode_reply(&bytes, &mut machine).is_err());
    }

    /// The quick path and the exact one agree: extra whitespace leads to the exact path.
    #[test]
    fn both_paths_read_the_same(
        name in "[!-~]{1,30}",
        value in prop_oneof!["[+-]?[0-9]{1,25}", "[+-]?[0-9]{0,9}\\.?[0-9]{0,9}(e[+-]?[0-9]{1,3})?", "[+-]?(nan|inf|Infinity)"],
        stamp in prop_oneof!["[0-9]{1,11}", "-?[0-9.e+]{1,6}"],
    ) {
        let quick = format!("{name} {value} {stamp}");
        let exact = format!("{name}  {value} {stamp}");
        prop_assert_eq!(line::parse(quick.as_bytes()), line::parse(exact.as_bytes()));
    }

    #[test]
    fn requests_and_replies_round_trip(
        name in "\\PC{0,40}",
        points in prop::collection::vec((any::<u32>(), any::<i32>()), 0..50),
    ) {
        let mut machine = Machine::default();
        let query = encoded(|out| client::encode_query(&name, out).unwrap());
        let decoded = carbonlink::decode_request(&query, &mut machine);
        prop_assert_eq!(decoded, Ok(Request::Query { metric: &name }));
        let names = [name.as_str(), "other"];
        let bulk = encoded(|out| client::encode_bulk_query(names, out).unwrap());
        let decoded = carbonlink::decode_request(&bulk, &mut machine);
        prop_assert_eq!(decoded, Ok(Request::Bulk { metrics: names.to_vec() }));

        let point = |(timestamp, value): &(u32, i32)| Point { timestamp: *timestamp, value: f64::from(*value) / 8.0 };
        let points: Vec<Point> = points.iter().map(point).collect();
        let back = |point: &Point| Datapoint { timestamp: point.timestamp.into(), value: point.value };
        let expected: Vec<Datapoint> = points.iter().map(back).collect();
        let one = encoded(|out| carbonlink::encode_datapoints(&points, out).unwrap());
        prop_assert_eq!(reply(&one), Ok(Reply::Datapoints(expected.clone())));
        let both = [(name.as_str(), points.as_slice()), ("x", &[])];
        let both = encoded(|out| carbonlink::encode_bulk(both, out).unwrap());
        prop_assert_eq!(reply(&both), Ok(Reply::Bulk(vec![(name, expected), ("x".to_owned(), vec![])])));
    }

    #[test]
    fn metadata_requests_round_trip(metric in "\\PC{1,20}", key in "\\PC{1,20}", value in "\\PC{1,20}") {
        let mut machine = Machine::default();
        let (metric, key, value) = (metric.as_str(), key.as_str(), value.as_str());
        let get = encoded(|out| client::encode_get_metadata(metric, key, out).unwrap());
        let decoded = carbonlink::decode_request(&get, &mut machine);
        prop_assert_eq!(decoded, Ok(Request::GetMetadata { metric, key }));
        let set = encoded(|out| client::encode_set_metadata(metric, key, value, out).unwrap());
        let decoded = carbonlink::decode_request(&set, &mut machine);
        prop_assert_eq!(decoded, Ok(Request::SetMetadata { metric, key, value }));
    }
}

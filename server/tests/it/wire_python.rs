//! The wire codecs against the Python of this machine, over one pipe: thousands of numbers and
//! lines made for the purpose, random objects pickled with every protocol and as Python 2 pickles
//! them, requests and replies both ways. Everything must be equal, doubles to the last bit.
//! The inputs are the same in every run. Without a `python3` the test fails and says so.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use benzene_engine::point::Point;
use benzene_server::wire::carbonlink::{self, Request};
use benzene_server::wire::client::{self, Reply};
use benzene_server::wire::pickle::{self, Batch, Machine};
use benzene_server::wire::{Item, Stamp, line, number};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Runs the script beside this file on one document.
fn ask_python(asked: &Value) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", include_str!("wire_python.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests compare with python3, which must be on the PATH");
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(asked.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "python3 failed, see its message");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn samples<S: Strategy>(count: usize, strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let mut sample = || strategy.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| sample()).collect()
}

fn bits(value: f64) -> Value {
    hex(&value.to_be_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap().as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap();
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap();
    text.chunks(2).map(byte).collect()
}

fn stamp(stamp: Stamp) -> Value {
    match stamp {
        Stamp::Now => "now".into(),
        Stamp::At(seconds) => seconds.into(),
    }
}

fn item(item: Item<'_>) -> Value {
    json!([item.name, stamp(item.stamp), bits(item.value)])
}

/// Texts of a regular expression, which is parsed once and not for each text.
fn text(pattern: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(pattern).unwrap()
}

/// Numbers, and what nearly is one.
fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        text("[+-]?[0-9]{0,20}[.]?[0-9]{0,20}([eE][+-]?[0-9]{0,3})?"),
        text("[ \t]?[+-]?[0-9_]{0,6}[.]?[0-9_]{0,6}([eE][+-]?[0-9_]{0,4})?[ \n]?"),
        text("[+-]?(nan|inf|infinity|NaN|INF|iNfInItY|in|infi|nane)[_ ]?"),
        text("[0-9\u{660}-\u{669}\u{ff10}-\u{ff19}\u{1d7ce}-\u{1d7ff}_.e\u{2003}]{1,12}"),
        text(
            "[0-9_.eE+\\-infatyxX \t\n\u{b}\u{c}\r\u{1c}-\u{1f}\u{85}\u{a0}\u{2028}\u{b2}\u{bd}]{0,8}"
        ),
        any::<f64>().prop_map(|value| format!("{value:e}")),
        any::<f64>().prop_map(|value| value.to_string()),
    ]
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let space = "( |\t|  |\u{1c}|\u{1f}|\u{85}|\u{a0}|\u{3000}|\r|\u{b})";
    let stamp = prop_oneof![
        text("[0-9]{1,11}"),
        text("-?[0-9]{1,3}(.[0-9]{1,3})?"),
        numbers()
    ];
    let parts = (
        text("[!-~\u{e9}\u{4e2d}]{1,20}"),
        numbers(),
        stamp,
        space,
        text("[ \r\t]{0,2}"),
    );
    let text = parts.prop_map(|(name, value, stamp, space, around)| {
        format!("{around}{name}{space}{value}{space}{stamp}{around}").into_bytes()
    });
    let bytes = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![9 => text, 1 => bytes]
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let point = (any::<u32>(), any::<i64>());
    prop::collection::vec(point, 0..40).prop_map(|points| {
        let value = |value: i64| f64::from_bits(value.cast_unsigned());
        let finite = |value: f64| if value.is_nan() { 0.5 } else { value };
        let points = points.into_iter().map(|(timestamp, bits)| Point {
            timestamp,
            value: finite(value(bits)),
        });
        points.collect()
    })
}

fn framed(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    encode(&mut out);
    hex(&out[4..])
}

#[test]
fn everything_is_read_and_written_as_python_does() {
    let numbers = samples(12_000, &numbers());
    let lines = samples(6000, &lines());
    let datagrams = samples(
        1000,
        &text("[a-c \n\r\u{b}\u{c}\u{1c}-\u{1f}\u{85}\u{2028}\u{2029}]{0,20}"),
    );
    let replies = samples(200, &points());
    let names = ["a.b", "caf\u{e9}", "none"];
    let mut our_replies: Vec<String> = Vec::new();
    for points in &replies {
        our_replies.push(framed(|out| {
            carbonlink::encode_datapoints(points, out).unwrap();
        }));
        let by_metric = [
            (names[0], points.as_slice()),
            (names[1], points),
            (names[2], &[]),
        ];
        our_replies.push(framed(|out| {
            carbonlink::encode_bulk(by_metric, out).unwrap();
        }));
    }
    our_replies.push(framed(|out| carbonlink::encode_value("average", out)));
    our_replies.push(framed(|out| carbonlink::encode_set("average", "max", out)));
    our_replies.push(framed(|out| carbonlink::encode_invalid_type("foo", out)));
    let our_requests = [
        framed(|out| client::encode_query(names[1], out).unwrap()),
        framed(|out| client::encode_bulk_query(names, out).unwrap()),
        framed(|out| client::encode_get_metadata("m", "k", out).unwrap()),
        framed(|out| client::encode_set_metadata("m", "k", "v", out).unwrap()),
    ];
    let answered = ask_python(&json!({
        "seed": 20_260_731,
        "numbers": &numbers,
        "lines": lines.iter().map(|line| hex(line)).collect::<Vec<_>>(),
        "datagrams": &datagrams,
        "replies": our_replies,
        "requests": our_requests,
    }));
    compare_characters(&answered);
    compare_numbers(&numbers, &answered["numbers"]);
    compare_lines(&lines, &answered["lines"]);
    compare_datagrams(&datagrams, &answered["datagrams"]);
    compare_frames(&answered["frames"]);
    compare_requests(&answered["requests"]);
    compare_replies(&answered["replies"]);
    compare_our_replies(&replies, names, &answered["our_replies"]);
    let expected = json!([
        {"type": "cache-query", "metric": names[1]},
        {"type": "cache-query-bulk", "metrics": names},
        {"type": "get-metadata", "metric": "m", "key": "k"},
        {"type": "set-metadata", "metric": "m", "key": "k", "value": "v"},
    ]);
    assert_eq!(answered["our_requests"], expected);
}

/// Every character: which are digits, and which separate fields.
fn compare_characters(answered: &Value) {
    let every = || (0..=u32::from(char::MAX)).filter_map(char::from_u32);
    let spaces = every().filter(|c| number::is_space(*c)).map(u32::from);
    assert_eq!(json!(spaces.collect::<Vec<_>>()), answered["spaces"]);
    let digit = |c: char| number::float(c.encode_utf8(&mut [0; 4])).map(|value| (c, value));
    let theirs = answered["digits"].as_array().unwrap();
    let mut ours = 0;
    for (c, value) in every().filter_map(digit) {
        ours += 1;
        let same = |their: &&Value| their[0] == u32::from(c) && their[1].as_f64() == Some(value);
        assert!(
            theirs.iter().any(|their| same(&their)),
            "{c:?} is {value} to us"
        );
    }
    // A newer Unicode than ours may have more scripts.
    assert!(ours >= 660);
    assert!(answered["unicode"] != "14.0.0" || ours == theirs.len());
}

fn compare_numbers(numbers: &[String], theirs: &Value) {
    let mut valid = 0;
    for (text, their) in numbers.iter().zip(theirs.as_array().unwrap()) {
        let our = number::float(text);
        if our.is_some_and(f64::is_nan) {
            let nan = f64::from_be_bytes(unhex(their).try_into().unwrap());
            assert!(nan.is_nan(), "{text:?}");
            continue;
        }
        assert_eq!(our.map_or(Value::Null, bits), *their, "{text:?}");
        valid += usize::from(our.is_some());
    }
    assert!(
        valid > 3000 && numbers.len() - valid > 3000,
        "{valid} are numbers"
    );
}

fn compare_lines(lines: &[Vec<u8>], theirs: &Value) {
    let mut valid = 0;
    for (text, their) in lines.iter().zip(theirs.as_array().unwrap()) {
        let our = match line::parse(text) {
            Ok(point) => item(point),
            Err(refusal) => format!("{refusal:?}").into(),
        };
        assert_eq!(our, *their, "{:?}", text.escape_ascii().to_string());
        valid += usize::from(our.is_array());
    }
    assert!(valid > 1000, "{valid} lines are points");
}

fn compare_datagrams(datagrams: &[String], theirs: &Value) {
    for (text, their) in datagrams.iter().zip(theirs.as_array().unwrap()) {
        let lines = line::datagram_lines(text.as_bytes());
        let ours: Vec<&str> = lines.map(|line| str::from_utf8(line).unwrap()).collect();
        assert_eq!(json!(ours), *their, "{text:?}");
    }
}

fn compare_frames(frames: &Value) {
    let (mut machine, mut batch) = (Machine::default(), Batch::default());
    let (mut points, mut forbidden) = (0, 0);
    for frame in frames.as_array().unwrap() {
        let bytes = unhex(&frame[0]);
        let decoded = pickle::decode(&bytes, &mut machine, &mut batch);
        let Some(expected) = frame[1].as_array() else {
            let is_forbidden = matches!(decoded, Err(pickle::PickleError::Forbidden { .. }));
            assert!(is_forbidden, "{decoded:?} {frame}");
            forbidden += 1;
            continue;
        };
        assert_eq!(decoded, Ok(()), "{}", bytes.escape_ascii());
        let good = expected.iter().filter(|their| their.is_array());
        assert!(
            batch.iter().map(item).eq(good.cloned()),
            "{frame} {batch:?}"
        );
        let mut total = 0;
        for (refusal, count) in batch.refused().iter() {
            let name = format!("{refusal:?}");
            let theirs = expected.iter().filter(|their| **their == name.as_str());
            assert_eq!(theirs.count() as u64, count, "{name} {frame}");
            total += usize::try_from(count).unwrap();
        }
        assert_eq!(batch.len() + total, expected.len(), "{frame}");
        points += batch.len();
    }
    assert!(
        points > 2000 && forbidden > 50,
        "{points} points, {forbidden} forbidden"
    );
}

fn compare_requests(requests: &Value) {
    let mut machine = Machine::default();
    for request in requests.as_array().unwrap() {
        let bytes = unhex(&request[0]);
        let asked = match carbonlink::decode_request(&bytes, &mut machine).unwrap() {
            Request::Query { metric } => json!({"type": "cache-query", "metric": metric}),
            Request::Bulk { metrics } => {
                let metrics = [metrics[0], metrics[1], metrics[0]];
                json!({"type": "cache-query-bulk", "metrics": metrics})
            }
            Request::GetMetadata { metric, key } => {
                json!({"type": "get-metadata", "metric": metric, "key": key})
            }
            Request::Nameless | Request::SetMetadata { .. } => json!("was not asked"),
            Request::Unknown { kind } => json!({"type": kind, "metric": request[1]["metric"]}),
        };
        assert_eq!(asked, request[1], "{}", bytes.escape_ascii());
    }
}

fn compare_replies(replies: &Value) {
    let mut machine = Machine::default();
    for reply in replies.as_array().unwrap() {
        let bytes = unhex(&reply[0]);
        let Ok(Reply::Datapoints(points)) = client::decode_reply(&bytes, &mut machine) else {
            panic!("no datapoints: {}", bytes.escape_ascii());
        };
        let points = points.iter();
        let points = points.map(|point| json!([bits(point.timestamp), bits(point.value)]));
        assert_eq!(points.collect::<Value>(), reply[1]);
    }
}

fn compare_our_replies(replies: &[Vec<Point>], names: [&str; 3], theirs: &Value) {
    let points = |points: &[Point]| {
        let points = points.iter();
        let points = points.map(|point| json!([point.timestamp, bits(point.value)]));
        points.collect::<Value>()
    };
    let mut theirs = theirs.as_array().unwrap().iter();
    for reply in replies {
        let points = points(reply);
        assert_eq!(theirs.next(), Some(&json!({"datapoints": points})));
        let by_metric = json!({names[0]: points, names[1]: points, names[2]: []});
        assert_eq!(
            theirs.next(),
            Some(&json!({"datapointsByMetric": by_metric}))
        );
    }
    assert_eq!(theirs.next(), Some(&json!({"value": "average"})));
    let set = json!({"old_value": "average", "new_value": "max"});
    assert_eq!(theirs.next(), Some(&set));
    let error = json!({"error": "Invalid request type \"foo\""});
    assert_eq!(theirs.next(), Some(&error));
    assert_eq!(theirs.next(), None);
}

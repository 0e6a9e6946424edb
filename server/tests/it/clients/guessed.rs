//! A metric that is known is read by the rules of the protocol it comes by, however it was found.

use std::io::Write;

use super::connect;
use super::pickles::{float, frame, int, item, list};
use crate::daemon::{Daemon, Setup};
use crate::first_use::now;
use crate::vitals::Own;

/// A no-break space: part of a name in a pickle, between two fields on a line.
const NAME: &str = "guessed.no\u{a0}break";

#[test]
fn a_name_with_whitespace_is_known_to_pickles_and_wrong_on_a_line() {
    let daemon = Daemon::start(&Setup {
        conf: "CARBON_METRIC_INTERVAL = 1".to_owned(),
        shards: Some(1),
        ..Setup::default()
    });
    let time = now();
    let items = item(NAME.as_bytes(), &int(time - 60), &float(1.0));
    let mut pickles = connect(daemon.pickle);
    pickles.write_all(&frame(&list(&items))).unwrap();
    let mut own = Own::of(&daemon);
    own.wait_until(&["benzene.received"], |values| values[0] == 1);

    // Nothing has followed anything before, so that each name is looked for with the next ones.
    let mut lines = connect(daemon.line);
    let mut text: String = ["a", "b", "c", "d"]
        .map(|metric| format!("guessed.{metric} 2 {time}\n"))
        .concat();
    text.push_str(&format!("{NAME} 3 {time}\n"));
    lines.write_all(text.as_bytes()).unwrap();
    own.wait_until(&["benzene.received", "benzene.refused.fields"], |values| {
        values == [5, 1]
    });
}

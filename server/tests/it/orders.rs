//! Python's write orders in a running daemon: `max` comes to a metric that never has the most points,
//! and says that it was overruled.
#![expect(
    clippy::disallowed_methods,
    clippy::format_collect,
    reason = "a test waits, and builds its text simply"
)]

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, PATIENCE, Setup, whisper_points};
use crate::first_use::{now, wait_for_file};

#[test]
fn max_passes_over_no_metric_for_ever() {
    // Ten metrics with two points each in every tenth of a second, and five updates a second: the
    // most points are never those of a metric with one.
    let mut daemon = Daemon::start(&Setup {
        shards: Some(1),
        ..Setup::conf("CACHE_WRITE_STRATEGY = max\nMAX_POINT_AGE = 2\nMAX_UPDATES_PER_SECOND = 5")
    });
    daemon.wait_for_log("write order max, which passes over no metric for longer than 2 s");
    let first = now() - 3000;
    daemon.send(&format!("order.lonely 1 {first}\n"));
    wait_for_file(&daemon, "order.lonely", 1);
    let file = daemon.file("order.lonely");
    let mut socket = daemon.connect();
    let began = Instant::now();
    for pair in 0.. {
        let second = first + 2 * pair;
        let lines: String = (0..10)
            .map(|metric| {
                format!(
                    "order.busy{metric} 1 {second}\norder.busy{metric} 1 {}\n",
                    second + 1
                )
            })
            .collect();
        socket.write_all(lines.as_bytes()).unwrap();
        if pair == 20 {
            let lonely = format!("order.lonely 2 {}\n", first + 60);
            socket.write_all(lonely.as_bytes()).unwrap();
        }
        if pair > 20 && whisper_points(&file, 0).len() == 2 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "passed over: {}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    daemon.wait_for_log("CACHE_WRITE_STRATEGY = max passed over metrics for longer than");
    let ended = daemon.stop();
    assert!(ended.log.contains("starvedUpdates "), "{}", ended.log);
}

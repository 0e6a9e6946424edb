//! What public Grafana dashboards ask of carbon's own metrics, word for word, asked of graphite-web on a
//! running daemon's files and cache: every query finds its series, and points in it.

use std::fmt::Write as _;

use crate::daemon::{Daemon, Querier, Setup, wait_for};
use crate::first_use::now;
use crate::tags::Web;

/// A query's text in a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}

/// Points that are no gaps, of all series that graphite-web finds for a query.
fn points(web: &Web, query: &str) -> usize {
    let answer = web.get(&format!(
        "/render?format=json&from=-5min&target={}",
        encoded(query)
    ));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{query}: {answer}");
    let series: Vec<serde_json::Value> = serde_json::from_str(body).unwrap();
    let datapoints = series.iter().filter_map(|it| it["datapoints"].as_array());
    datapoints
        .flatten()
        .filter(|point| point[0].is_number())
        .count()
}

#[test]
fn public_dashboards_find_every_series_that_they_ask_for() {
    let daemon = Daemon::start(&Setup {
        shards: Some(2),
        // Held for a few seconds, so that something is in the cache at a report.
        ..Setup::conf(
            "CARBON_METRIC_INTERVAL = 2\nENABLE_TAGS = False\nCACHE_WRITE_STRATEGY = deadline\n\
             MAX_POINT_AGE = 3\n",
        )
    });
    let root = daemon.data().parent().unwrap().to_owned();
    let web = Web::start(&root, 0, &[daemon.query]);
    let file = benzene_fixtures::path("dashboards/queries.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let is_query = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut missing: Vec<&str> = text.lines().filter(is_query).collect();
    assert!(missing.len() > 20, "{missing:?}");
    let mut querier = Querier::connect(daemon.query);
    let found = wait_for(|| {
        // Ratios are there for intervals in which something was written.
        daemon.send(&format!("busy.m 1 {}\n", now()));
        querier.points("busy.m");
        missing.retain(|query| points(&web, query) == 0);
        missing.is_empty().then_some(())
    });
    assert!(
        found.is_some(),
        "without any point: {missing:#?}: {}",
        daemon.log()
    );
    assert_eq!(points(&web, "carbon.agents.*.noSuchMetric"), 0);
    assert!(daemon.stop().status.success());
}

//! `benzene query`: which points of a metric wait in which cache.
//! All hosts are asked at the same time; one that is down is reported on standard error and does
//! not stop the rest. Works with every daemon that speaks cache-query: ours, carbon-cache,
//! go-carbon. Ends with `Exit::Failure` when a host could not be asked, after printing what the
//! others said.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use benzene_engine::clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::cli::{QueryHost, QueryOptions};
use crate::exit::Exit;
use crate::wire::carbonlink::FrameTooLong;
use crate::wire::client::{self, Datapoint, Reply, ReplyError};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::pickle::Machine;

/// Largest reply that is taken: some ten million points. A length beyond it is not cache-query.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// Why a host could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the reply has {0} bytes: is this a cache-query port?")]
    Length(usize),
    #[error("{0}")]
    Reply(#[from] ReplyError),
    #[error("{0}")]
    Request(#[from] FrameTooLong),
    #[error("it says: {0}")]
    Refused(String),
    #[error("the reply is none to a cache-query")]
    OtherReply,
}

/// What one host said: per metric, in the order asked, its points.
type Answer = Result<Vec<Vec<Datapoint>>, AskError>;

/// Asks and prints.
pub fn run(options: &QueryOptions) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let hosts = hosts(options);
    let answers = runtime.block_on(ask_all(&hosts, options));
    let text = if options.json {
        json(&hosts, &options.metrics, &answers)
    } else if options.csv {
        csv(&hosts, &options.metrics, &answers)
    } else {
        table(&hosts, &options.metrics, &answers)
    };
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return fail(&format!("cannot print: {error}"));
    }
    let mut exit = Exit::Success;
    for (host, answer) in hosts.iter().zip(&answers) {
        if let Err(error) = answer {
            exit = fail(&format!("{}: {error}", name(host)));
        }
    }
    exit
}

#[expect(
    clippy::print_stderr,
    reason = "a tool's errors belong on standard error"
)]
fn fail(message: &str) -> Exit {
    eprintln!("benzene query: {message}");
    Exit::Failure
}

/// Every host on every port that was asked for.
fn hosts(options: &QueryOptions) -> Vec<QueryHost> {
    let Some(range) = options.range else {
        return options.hosts.clone();
    };
    let on_each = |asked: &QueryHost| match asked {
        QueryHost::Unix(_) => vec![asked.clone()],
        QueryHost::Inet { host, instance, .. } => (range.first..=range.last)
            .map(|port| QueryHost::Inet {
                host: host.clone(),
                port,
                instance: instance.clone(),
            })
            .collect(),
    };
    options.hosts.iter().flat_map(on_each).collect()
}

fn name(host: &QueryHost) -> String {
    match host {
        QueryHost::Inet { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
        QueryHost::Inet { host, port, .. } => format!("{host}:{port}"),
        QueryHost::Unix(path) => format!("unix:{}", path.display()),
    }
}

async fn ask_all(hosts: &[QueryHost], options: &QueryOptions) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for (index, host) in hosts.iter().cloned().enumerate() {
        let (metrics, timeout) = (options.metrics.clone(), options.timeout);
        tasks.spawn(async move {
            let asked = tokio::time::timeout(timeout, ask(&host, &metrics)).await;
            (index, asked.unwrap_or(Err(AskError::Timeout(timeout))))
        });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn ask(host: &QueryHost, metrics: &[String]) -> Answer {
    match host {
        QueryHost::Inet { host, port, .. } => {
            ask_at(TcpStream::connect((host.as_str(), *port)).await?, metrics).await
        }
        QueryHost::Unix(path) => ask_at(UnixStream::connect(path).await?, metrics).await,
    }
}

async fn ask_at(mut socket: impl AsyncRead + AsyncWrite + Unpin, metrics: &[String]) -> Answer {
    let mut machine = Machine::default();
    let mut answers = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let mut request = Vec::new();
        client::encode_query(metric, &mut request)?;
        socket.write_all(&request).await?;
        let mut header = [0; HEADER_BYTES];
        socket.read_exact(&mut header).await?;
        let length = u32::from_be_bytes(header) as usize;
        if length > REPLY_BYTES_MAX {
            return Err(AskError::Length(length));
        }
        let mut frame = vec![0; length];
        socket.read_exact(&mut frame).await?;
        answers.push(match client::decode_reply(&frame, &mut machine)? {
            Reply::Datapoints(points) => points,
            Reply::Error(text) => return Err(AskError::Refused(text)),
            Reply::Bulk(_) | Reply::Value(_) | Reply::Changed { .. } => {
                return Err(AskError::OtherReply);
            }
        });
    }
    Ok(answers)
}

/// The answers as (host, metric, points), those of hosts that could not be asked left out.
fn found<'a>(
    hosts: &'a [QueryHost],
    metrics: &'a [String],
    answers: &'a [Answer],
) -> impl Iterator<Item = (String, &'a str, &'a [Datapoint])> {
    hosts.iter().zip(answers).flat_map(move |(host, answer)| {
        let points = answer.as_ref().map_or(&[][..], Vec::as_slice);
        metrics
            .iter()
            .zip(points)
            .map(move |(metric, points)| (name(host), metric.as_str(), points.as_slice()))
    })
}

fn table(hosts: &[QueryHost], metrics: &[String], answers: &[Answer]) -> String {
    let now = f64::from(clock::now().unix_seconds);
    let mut rows = vec![["cache", "metric", "timestamp", "age", "value"].map(str::to_owned)];
    for (host, metric, points) in found(hosts, metrics, answers) {
        if points.is_empty() {
            rows.push([
                host,
                metric.to_owned(),
                "-".into(),
                "-".into(),
                "nothing cached".into(),
            ]);
            continue;
        }
        rows.extend(points.iter().map(|point| {
            let age = format!("{} s", now - point.timestamp);
            let (timestamp, value) = (point.timestamp.to_string(), point.value.to_string());
            [host.clone(), metric.to_owned(), timestamp, age, value]
        }));
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut text = String::new();
    for [cache, metric, timestamp, age, value] in &rows {
        let [a, b, c, d] = widths;
        let line = writeln!(
            text,
            "{cache:a$}  {metric:b$}  {timestamp:>c$}  {age:>d$}  {value}"
        );
        assert!(line.is_ok(), "writing to a String cannot fail");
    }
    text
}

fn csv(hosts: &[QueryHost], metrics: &[String], answers: &[Answer]) -> String {
    let mut text = "cache,metric,timestamp,value\n".to_owned();
    for (host, metric, points) in found(hosts, metrics, answers) {
        for Datapoint { timestamp, value } in points {
            let line = writeln!(text, "{host},{},{timestamp},{value}", csv_field(metric));
            assert!(line.is_ok(), "writing to a String cannot fail");
        }
    }
    text
}

/// A field as RFC 4180 wants it.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// `{"caches": [{"cache": "h:p", "metrics": {"a.b": [[timestamp, value], ...]}}, {"cache": ...,
/// "error": "..."}]}`; infinite values, which JSON has not, are null.
fn json(hosts: &[QueryHost], metrics: &[String], answers: &[Answer]) -> String {
    let caches: Vec<serde_json::Value> = hosts
        .iter()
        .zip(answers)
        .map(|(host, answer)| match answer {
            Err(error) => serde_json::json!({"cache": name(host), "error": error.to_string()}),
            Ok(points) => {
                let metrics: serde_json::Map<String, serde_json::Value> = metrics
                    .iter()
                    .zip(points)
                    .map(|(metric, points)| {
                        let points: Vec<_> = points
                            .iter()
                            .map(|point| (point.timestamp, point.value))
                            .collect();
                        (metric.clone(), serde_json::json!(points))
                    })
                    .collect();
                serde_json::json!({"cache": name(host), "metrics": metrics})
            }
        })
        .collect();
    format!("{:#}\n", serde_json::json!({ "caches": caches }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> (Vec<QueryHost>, Vec<String>, Vec<Answer>) {
        let host = |host: &str| QueryHost::Inet {
            host: host.to_owned(),
            port: 7002,
            instance: None,
        };
        let point = Datapoint {
            timestamp: 60.0,
            value: 1.5,
        };
        let down = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        (
            vec![host("one"), host("::1")],
            vec!["a.b".to_owned(), "t;x=\"q\"".to_owned()],
            vec![Ok(vec![vec![point], Vec::new()]), Err(AskError::Io(down))],
        )
    }

    #[test]
    fn csv_quotes_and_leaves_out_what_was_not_answered() {
        let (hosts, metrics, mut answers) = answers();
        assert_eq!(
            csv(&hosts, &metrics, &answers),
            "cache,metric,timestamp,value\none:7002,a.b,60,1.5\n"
        );
        answers[0] = Ok(vec![
            Vec::new(),
            vec![Datapoint {
                timestamp: 60.0,
                value: 2.0,
            }],
        ]);
        let text = csv(&hosts, &metrics, &answers);
        assert!(
            text.ends_with("one:7002,\"t;x=\"\"q\"\"\",60,2\n"),
            "{text}"
        );
    }

    #[test]
    fn json_has_every_host_and_its_error() {
        let (hosts, metrics, answers) = answers();
        let value: serde_json::Value =
            serde_json::from_str(&json(&hosts, &metrics, &answers)).unwrap();
        assert_eq!(
            value["caches"][0]["metrics"]["a.b"],
            serde_json::json!([[60.0, 1.5]])
        );
        assert_eq!(value["caches"][1]["cache"], "[::1]:7002");
        assert!(
            value["caches"][1]["error"]
                .as_str()
                .unwrap()
                .contains("refused")
        );
    }

    #[test]
    fn the_table_says_where_nothing_waits() {
        let (hosts, metrics, answers) = answers();
        let text = table(&hosts, &metrics, &answers);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("one:7002  a.b") && lines[1].ends_with("  1.5"),
            "{text}"
        );
        assert!(lines[2].ends_with("nothing cached"), "{text}");
        assert_eq!(lines.len(), 3);
    }
}

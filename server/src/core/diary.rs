//! What a core says to the log files, in Python carbon's words: updates, new files, cache queries, and
//! connections that come and go. One a core, and only where such files are written: a core without one
//! does nothing here, and one with it never waits (`logging::Logs`).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use benzene_engine::ring::{End, SocketId};
use benzene_engine::whisper::Retention;
use benzene_engine::writer::{Tells, Told};
use hashbrown::HashMap;

use crate::config::{Logged, Service};
use crate::front::{Garbage, Said};
use crate::logging::{Logs, Topic};
use crate::wire::Refusal;

/// What Twisted says of a connection that was not closed as it should be.
const NOT_CLEAN: &str = "Connection to the other side was lost in a non-clean fashion.";

/// What an update has waited for the limiter is told from here on, as by Python.
const WAIT_TOLD_MIN: Duration = Duration::from_millis(1);

/// A core's part of the log files.
#[derive(Clone, Debug)]
pub(crate) struct Diary {
    logs: Logs,
    logged: Logged,
    /// Open connections: what they are for, and who is at the other side.
    others: HashMap<SocketId, Other>,
}

#[derive(Clone, Debug)]
struct Other {
    service: Service,
    name: String,
    /// It has ended otherwise than it should.
    is_lost: bool,
}

impl Diary {
    /// A diary with nothing in it.
    pub(crate) fn new(logs: Logs, logged: Logged) -> Diary {
        Diary {
            logs,
            logged,
            others: HashMap::new(),
        }
    }

    /// What is to be in it from now on.
    pub(super) fn set(&mut self, logged: Logged) {
        self.logged = logged;
    }

    /// What the writer is to tell.
    pub(crate) fn tells(logged: Logged) -> Tells {
        Tells {
            updates: logged.updates,
            creates: logged.creates,
        }
    }

    /// A file was written, or is to be made.
    pub(super) fn told(&self, told: Told) {
        match told {
            Told::Wrote {
                name,
                points,
                took,
                waited,
            } => {
                let took = took.as_secs_f64();
                let waited = if waited > WAIT_TOLD_MIN {
                    format!(" after waiting {:.5} seconds", waited.as_secs_f64())
                } else {
                    String::new()
                };
                self.logs.say(
                    Topic::Updates,
                    format!("wrote {points} datapoints for {name} in {took:.5} seconds{waited}"),
                );
            }
            Told::Creates {
                name,
                schema,
                aggregation,
                archives,
                x_files_factor,
                method,
            } => {
                let (archives, xff) = (tuples(&archives), factor(x_files_factor));
                let method = method.map_or("None", |method| method.name());
                for line in [
                    format!("new metric {name} matched schema {schema}"),
                    format!("new metric {name} matched aggregation schema {aggregation}"),
                    format!(
                        "creating database metric {name} (archive={archives} xff={xff} agg={method})"
                    ),
                ] {
                    self.logs.say(Topic::Creates, line);
                }
            }
        }
    }

    /// A connection has come.
    pub(super) fn opened(&mut self, id: SocketId, service: Service, peer: Option<SocketAddr>) {
        let name = match peer {
            Some(peer) => format!("{}:{}", peer.ip(), peer.port()),
            None => "peer".to_owned(),
        };
        match receiver(service) {
            Some(protocol) if self.logged.connections => self.logs.say(
                Topic::Listener,
                format!("{protocol} connection with {name} established"),
            ),
            Some(_) => {}
            None if service == Service::Query => {
                self.logs.say(Topic::Query, format!("{name} connected"));
            }
            None => return,
        }
        let other = Other {
            service,
            name,
            is_lost: false,
        };
        self.others.insert(id, other);
    }

    /// Nothing more comes from a connection, for this reason.
    pub(super) fn ended(&mut self, id: SocketId, cause: End) {
        if let (Some(other), End::Failed(_)) = (self.others.get_mut(&id), cause) {
            other.is_lost = true;
        }
    }

    /// A connection is closed.
    pub(super) fn closed(&mut self, id: SocketId) {
        let Some(Other {
            service,
            name,
            is_lost,
        }) = self.others.remove(&id)
        else {
            return;
        };
        let line = match (receiver(service), is_lost) {
            (None, false) => format!("{name} disconnected"),
            (None, true) => format!("{name} connection lost: {NOT_CLEAN}"),
            (Some(protocol), false) if self.logged.connections => {
                format!("{protocol} connection with {name} closed cleanly")
            }
            (Some(protocol), true) if self.logged.connections_lost => {
                format!("{protocol} connection with {name} lost: {NOT_CLEAN}")
            }
            (Some(_), _) => return,
        };
        let topic = match service {
            Service::Query => Topic::Query,
            Service::Line | Service::Datagram | Service::Pickle | Service::Protobuf => {
                Topic::Listener
            }
        };
        self.logs.say(topic, line);
    }

    /// Something was refused that a sender sent; said whatever the switches are, as by Python.
    pub(super) fn refused(&self, said: &Said) {
        // A datagram's sender is not known.
        let other = self.others.get(&said.socket);
        let name = other.map_or("a datagram", |other| &other.name);
        let line = match &said.garbage {
            Garbage::Line(line) if said.service == Service::Line => {
                format!("invalid line received from client {name}, ignoring [{line}]")
            }
            Garbage::Line(line) => format!("invalid line received from {name}, ignoring [{line}]"),
            Garbage::Pickle(error) => {
                format!("invalid pickle received from {name}, error: \"{error}\", ignoring")
            }
            Garbage::Item => format!("Error decoding pickle: {}", Refusal::Item),
            Garbage::Protobuf => format!("invalid protobuf received from {name}, ignoring"),
            Garbage::Name(text) => format!("invalid name received from {name}, ignoring [{text}]"),
        };
        self.logs.say(Topic::Listener, line);
        if said.more > 0 {
            let (more, reason) = (said.more, said.reason);
            let line = format!("{more} more were refused since the last such line ({reason})");
            self.logs.say(Topic::Listener, line);
        }
    }

    /// A cache query was answered: what was asked for, and what was found.
    pub(super) fn answered(&self, id: SocketId, what: &str) {
        if let Some(other) = self.others.get(&id).filter(|_| self.logged.cache_hits) {
            self.logs
                .say(Topic::Query, format!("[{}] cache query {what}", other.name));
        }
    }
}

/// What Python calls a receiver's connection; none for others.
fn receiver(service: Service) -> Option<&'static str> {
    match service {
        Service::Line => Some("MetricLineReceiver"),
        Service::Pickle => Some("MetricPickleReceiver"),
        Service::Protobuf => Some("MetricProtobufReceiver"),
        Service::Datagram | Service::Query => None,
    }
}

/// Archives as Python prints a list of tuples.
fn tuples(archives: &[Retention]) -> String {
    let mut text = String::from("[");
    for Retention { step_s, points } in archives {
        let and = if text.len() > 1 { ", " } else { "" };
        if write!(text, "{and}({step_s}, {points})").is_err() {
            unreachable!("a String takes every text")
        }
    }
    text + "]"
}

/// A factor as Python prints a float, or None.
fn factor(factor: Option<f32>) -> String {
    factor.map_or_else(|| "None".to_owned(), |factor| format!("{factor:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_floats_are_printed_as_by_python() {
        let archive = |step_s, points| Retention { step_s, points };
        assert_eq!(tuples(&[]), "[]");
        assert_eq!(tuples(&[archive(60, 1440)]), "[(60, 1440)]");
        let two = [archive(10, 360), archive(60, 10_080)];
        assert_eq!(tuples(&two), "[(10, 360), (60, 10080)]");
        assert_eq!(factor(None), "None");
        assert_eq!(factor(Some(0.5)), "0.5");
        assert_eq!(factor(Some(0.0)), "0.0");
        assert_eq!(factor(Some(0.1)), "0.1");
    }
}
